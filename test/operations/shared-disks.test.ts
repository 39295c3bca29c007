/** The generated tests of what makes, moves and removes disks, between hosts that see the same ones. */
import { testFromState, testOperation } from '#journal/harness.ts';
import { OPERATIONS } from '#operations/catalogue.ts';
import type { Fixture } from './fixture.ts';
import { evacuatedWithDisk, FIXTURES } from './fixtures.ts';
import { operationWorld } from './world.ts';

const CHANGED = ['create', 'delete', 'rescue', 'unrescue', 'rebuild'] as const;
const MOVED = ['migrate', 'resize', 'liveMigrate', 'confirmResize', 'revertResize', 'evacuate'] as const;

for (const kind of [...CHANGED, ...MOVED])
  for (const [index, [from, fixture]] of Object.entries(FIXTURES[kind]).entries()) {
    const world = () =>
      operationWorld(kind, { ...(kind === 'evacuate' ? keepingDisks(fixture) : fixture), sharedDisks: true });
    const name = `${kind} ${from} with shared disks`;
    if (index === 0 && MOVED.some((each) => each === kind)) testOperation(name, OPERATIONS[kind], world);
    else testFromState(name, OPERATIONS[kind], world);
  }

function keepingDisks(fixture: Fixture): Fixture {
  return {
    ...fixture,
    prepare: async (cloud) => ({ ...(await fixture.prepare(cloud)), done: evacuatedWithDisk }),
  };
}
