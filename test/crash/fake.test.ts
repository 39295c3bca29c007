/**
 * SIGKILL at every point of every operation, with simulated guests: before and after each durable write of the journal,
 * at each message, at each change of a file. Two clouds die side by side.
 */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { OPERATION_KINDS, type OperationKind } from '#domain/operation/operation.ts';
import { OPERATIONS } from '#operations/catalogue.ts';
import { CloudToKill } from './cloud-to-kill.ts';
import { killAt, registerImage, scenarios, tally } from './kill-points.ts';

/** Kinds of points, and at how many each operation comes past at least; fewer, and the fault was not woven in. */
const AT_LEAST: Readonly<Record<OperationKind, Readonly<Record<'bus' | 'files', number>>>> = {
  create: { bus: 6, files: 5 },
  createImage: { bus: 6, files: 5 },
  delete: { bus: 4, files: 2 },
};

/** Each step is journaled before it begins, together with the end of the one before; then comes the end of all. */
const journalWrites = (kind: OperationKind) => OPERATIONS[kind].steps.length + 1;

describe('SIGKILL, simulated guests', { concurrency: 2 }, () => {
  after(() => process.stdout.write(`kill points: ${tally('fake')}\n`));

  for (const kind of OPERATION_KINDS) {
    for (const points of [
      ['journal before', 'journal after'],
      ['bus', 'files'],
    ]) {
      test(`${kind}: at every point of ${points.join(', ')}`, async () => {
        await using cloud = await CloudToKill.start('fake');
        const scenario = scenarios(await registerImage(cloud))[kind];
        for (const each of points) {
          const [event, when = ''] = each.split(' ');
          let kills = 0;
          while (await killAt(cloud, scenario, `${event} ${kills + 1} ${when}`.trim())) kills += 1;
          const least = each === 'bus' || each === 'files' ? AT_LEAST[kind][each] : journalWrites(kind);
          assert.ok(kills >= least, `${each}: ${kills} kills only`);
        }
      });
    }

    test(`${kind}: twice in a row, the second time while it recovers`, async () => {
      await using cloud = await CloudToKill.start('fake');
      const scenario = scenarios(await registerImage(cloud))[kind];
      for (const [first, again] of [
        ['journal 1 after', 'journal 1 before'],
        ['journal 2 after', 'journal 2 after'],
        ['journal 3 before', 'bus 3'],
      ] as const)
        assert.ok(await killAt(cloud, scenario, first, { again }));
    });
  }
});
