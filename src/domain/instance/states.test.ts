/** What the API shows of every state and task, against Nova's table said here once more. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { STATUSES, statesOf, statusOf, TASK_STATES, type TaskState, VM_STATES, type VmState } from './states.ts';

const AT_REST: Readonly<Record<VmState, string>> = {
  building: 'BUILD',
  active: 'ACTIVE',
  stopped: 'SHUTOFF',
  paused: 'PAUSED',
  suspended: 'SUSPENDED',
  rescued: 'RESCUE',
  shelved: 'SHELVED',
  shelved_offloaded: 'SHELVED_OFFLOADED',
  resized: 'VERIFY_RESIZE',
  'soft-delete': 'SOFT_DELETED',
  error: 'ERROR',
  deleted: 'DELETED',
};

/** Nova's exceptions, as `<vm_state> <task_state>` and the word. */
const SHOWN_INSTEAD = new Map([
  ...['rebooting', 'reboot_pending', 'reboot_started'].flatMap((task) => [
    [`active ${task}`, 'REBOOT'] as const,
    [`active ${task}_hard`, 'HARD_REBOOT'] as const,
  ]),
  ['active rebooting_hard', 'HARD_REBOOT'] as const,
  ['active updating_password', 'PASSWORD'] as const,
  ['active migrating', 'MIGRATING'] as const,
  ['paused migrating', 'MIGRATING'] as const,
  ['resized resize_reverting', 'REVERT_RESIZE'] as const,
  ...['active', 'stopped'].flatMap((state) =>
    ['resize_prep', 'resize_migrating', 'resize_migrated', 'resize_finish'].map(
      (task) => [`${state} ${task}`, 'RESIZE'] as const,
    ),
  ),
  ...['active', 'stopped', 'error'].flatMap((state) =>
    ['rebuilding', 'rebuild_block_device_mapping', 'rebuild_spawning'].map(
      (task) => [`${state} ${task}`, 'REBUILD'] as const,
    ),
  ),
]);

const PAIRS = VM_STATES.flatMap((vmState) => [null, ...TASK_STATES].map((task) => ({ vmState, task })));

function expected(vmState: VmState, task: TaskState | null): string {
  return SHOWN_INSTEAD.get(`${vmState} ${task}`) ?? AT_REST[vmState];
}

test('every state shows Nova’s word, whatever is being done with the server', () => {
  for (const { vmState, task } of PAIRS)
    assert.equal(statusOf(vmState, task), expected(vmState, task), `${vmState} ${task}`);
});

test('a filter by status finds exactly what shows that word, whatever its case', () => {
  const words = new Set(PAIRS.map(({ vmState, task }) => expected(vmState, task)));
  assert.deepEqual([...STATUSES].toSorted(), [...words].toSorted());
  for (const word of words) {
    for (const asked of [word, word.toLowerCase()]) {
      for (const { vmState, task } of PAIRS) {
        const isFound = statesOf(asked).some((each) => each.vmState === vmState && counts(each.tasks, task));
        assert.equal(isFound, expected(vmState, task) === word, `${asked}: ${vmState} ${task}`);
      }
    }
  }
});

test('no state answers to a word that is not one', () => {
  for (const word of ['', 'NONE', '__proto__', 'constructor', 'building', 'UNKNOWN'])
    assert.deepEqual(statesOf(word), []);
});

/** As the query of the servers' table reads it. */
function counts(tasks: ReturnType<typeof statesOf>[number]['tasks'], task: TaskState | null): boolean {
  if ('only' in tasks) return task !== null && tasks.only.includes(task);
  return task === null || !tasks.but.includes(task);
}
