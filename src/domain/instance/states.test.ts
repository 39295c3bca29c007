/** The state table, exhaustively: every state × task × operation × lock × role, against rules said here once more. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CloudError } from '../errors.ts';
import { OPERATION_KINDS, type OperationKind } from '../operation/operation.ts';
import {
  checkAllowed,
  statusOf,
  TASK_STATES,
  type TaskState,
  TRANSITIONS,
  type Transition,
  VM_STATES,
  type VmState,
  vmStatesOf,
} from './states.ts';

const ID = '00000000-0000-4000-8000-000000000000';

/** The states in which each may begin, from Nova's documentation. */
const MAY_BEGIN: Readonly<Record<OperationKind, readonly VmState[]>> = {
  create: [],
  delete: ['building', 'active', 'stopped', 'paused', 'suspended', 'error'],
  createImage: ['active', 'stopped', 'paused', 'suspended'],
};

function expected(kind: OperationKind, vmState: VmState, task: TaskState | null, locked: boolean, isAdmin: boolean) {
  if (locked && kind !== 'create' && !isAdmin) return `Instance ${ID} is locked`;
  if (task !== null && kind !== 'delete') return `Cannot '${kind}' instance ${ID} while it is in task_state ${task}`;
  if (!MAY_BEGIN[kind].includes(vmState)) return `Cannot '${kind}' instance ${ID} while it is in vm_state ${vmState}`;
  return 'allowed';
}

function outcome(
  kind: OperationKind,
  vmState: VmState,
  taskState: TaskState | null,
  locked: boolean,
  isAdmin: boolean,
) {
  try {
    checkAllowed(kind, { id: ID, vmState, taskState, locked }, { isAdmin });
    return 'allowed';
  } catch (error) {
    assert.ok(error instanceof CloudError);
    assert.equal(error.status, 409);
    return error.message;
  }
}

test('every operation is allowed exactly where it may begin, and refused in Nova’s words elsewhere', () => {
  let cases = 0;
  for (const kind of OPERATION_KINDS)
    for (const vmState of VM_STATES)
      for (const task of [null, ...TASK_STATES])
        for (const locked of [false, true])
          for (const isAdmin of [false, true]) {
            const wanted = expected(kind, vmState, task, locked, isAdmin);
            const place = `${kind} ${vmState} ${task} ${locked} ${isAdmin}`;
            assert.equal(outcome(kind, vmState, task, locked, isAdmin), wanted, place);
            cases += 1;
          }
  assert.equal(cases, OPERATION_KINDS.length * VM_STATES.length * (TASK_STATES.length + 1) * 4);
});

test('every row is about states and tasks that exist, and every task belongs to an operation', () => {
  assert.deepEqual(Object.keys(TRANSITIONS).toSorted(), [...OPERATION_KINDS].toSorted());
  const used = new Set<TaskState>();
  for (const row of Object.values(TRANSITIONS) as Transition[]) {
    for (const state of row.from) assert.ok(VM_STATES.includes(state));
    for (const state of [row.to, row.onFailure]) assert.ok(state === 'same' || VM_STATES.includes(state));
    for (const task of row.tasks) used.add(task);
    assert.equal(new Set(row.tasks).size, row.tasks.length);
  }
  assert.deepEqual([...used].toSorted(), [...TASK_STATES].toSorted());
});

test('nothing begins in a deleted server, and nothing but a deletion ends in one', () => {
  for (const [kind, row] of Object.entries(TRANSITIONS) as [OperationKind, Transition][]) {
    assert.ok(!row.from.includes('deleted'), kind);
    assert.equal(row.to === 'deleted', kind === 'delete');
  }
});

test('a status stands for one state, found whatever its case', () => {
  const statuses = VM_STATES.map((state) => statusOf(state));
  assert.deepEqual(statuses, ['BUILD', 'ACTIVE', 'SHUTOFF', 'PAUSED', 'SUSPENDED', 'ERROR', 'DELETED']);
  for (const state of VM_STATES) assert.deepEqual(vmStatesOf(statusOf(state).toLowerCase()), [state]);
  for (const word of ['', 'NONE', '__proto__', 'building']) assert.deepEqual(vmStatesOf(word), []);
});
