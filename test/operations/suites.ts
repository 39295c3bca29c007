/**
 * The generated tests of every operation: it survives repeats, failures and crashes, and a bus that doubles and reorders. They
 * lie in several files only so that two can run side by side.
 */
import { OPERATION_KINDS, type OperationKind } from '#domain/operation/operation.ts';
import { testBegunAndFailed, testFromState, testOperation } from '#journal/harness.ts';
import { OPERATIONS } from '#operations/catalogue.ts';
import { FIXTURES } from './fixtures.ts';
import { operationWorld } from './world.ts';

type Part = 'lives' | 'runs' | 'disks' | 'images' | 'moves' | 'live';

/** What each is about, roughly equally long. */
const PARTS: Readonly<Record<OperationKind, Part>> = {
  create: 'lives',
  delete: 'lives',
  forceDelete: 'lives',
  softDelete: 'lives',
  restore: 'lives',
  start: 'runs',
  stop: 'runs',
  forceStop: 'runs',
  reboot: 'runs',
  hardReboot: 'runs',
  pause: 'runs',
  unpause: 'runs',
  suspend: 'runs',
  resume: 'runs',
  changePassword: 'runs',
  rescue: 'disks',
  unrescue: 'disks',
  rebuild: 'disks',
  unshelve: 'lives',
  shelve: 'images',
  shelveOffload: 'runs',
  createImage: 'disks',
  createBackup: 'images',
  resize: 'moves',
  migrate: 'moves',
  confirmResize: 'moves',
  revertResize: 'moves',
  evacuate: 'moves',
  liveMigrate: 'live',
  attachInterface: 'runs',
  detachInterface: 'runs',
};

/** Each message comes twice, both copies late by up to 15 ms, so that they overtake each other. */
function doubling() {
  let sent = 0;
  return { duplicate: () => true, delayMs: () => (sent++ * 7) % 16 };
}

/** Declares the tests of the kinds of one part. */
export function testPart(part: Part): void {
  for (const kind of OPERATION_KINDS.filter((each) => PARTS[each] === part)) {
    const definition = OPERATIONS[kind];
    for (const [index, [from, fixture]] of Object.entries(FIXTURES[kind]).entries()) {
      const name = `${kind} ${from}`.trim();
      if (index > 0) testFromState(name, definition, () => operationWorld(kind, fixture));
      else {
        testOperation(name, definition, () => operationWorld(kind, fixture));
        testBegunAndFailed(`${name}, doubled messages`, definition, () => operationWorld(kind, fixture, doubling()));
      }
    }
  }
}
