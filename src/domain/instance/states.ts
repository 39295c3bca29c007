/**
 * The state table: the one place that says what is allowed when.
 *
 * Each row is an operation: the states it may begin in, the task states it passes through, where it ends and where a
 * failure leaves the server. Guards and their 409 texts, the status that the API shows, the reference and the tests are
 * derived from it; nothing else compares states.
 */
import { CloudError } from '../errors.ts';
import type { OperationKind } from '../operation/operation.ts';

export const VM_STATES = ['building', 'active', 'stopped', 'paused', 'suspended', 'error', 'deleted'] as const;
export type VmState = (typeof VM_STATES)[number];

export const TASK_STATES = [
  'scheduling',
  'networking',
  'block_device_mapping',
  'spawning',
  'deleting',
  'image_snapshot_pending',
  'image_snapshot',
  'image_pending_upload',
  'image_uploading',
] as const;
export type TaskState = (typeof TASK_STATES)[number];

/** Nova's numbers. */
export const POWER_STATES = { none: 0, running: 1, paused: 3, shutdown: 4, crashed: 6, suspended: 7 } as const;

export interface Transition {
  /** Where it may begin; `create` begins nowhere. */
  readonly from: readonly VmState[];
  /** Task states during which it may begin all the same, pre-empting the operation in flight; `any` is stronger than all. */
  readonly during: 'none' | 'any';
  /** Task states it shows, in order; the first is set when it is accepted. */
  readonly tasks: readonly [TaskState, ...TaskState[]];
  /** Where it ends: a state, or `same` as it began. */
  readonly to: VmState | 'same';
  /** Where a failure leaves the server once everything is undone. */
  readonly onFailure: VmState | 'same';
  /** Whether a lock holds it off (for everybody but an admin). */
  readonly lock: 'respect' | 'ignore';
  /** The role on the server's project that may ask for it. */
  readonly role: 'member' | 'admin';
}

export const TRANSITIONS = {
  create: {
    from: [],
    during: 'none',
    tasks: ['scheduling', 'networking', 'block_device_mapping', 'spawning'],
    to: 'active',
    onFailure: 'error',
    lock: 'ignore',
    role: 'member',
  },
  delete: {
    from: ['building', 'active', 'stopped', 'paused', 'suspended', 'error'],
    during: 'any',
    tasks: ['deleting'],
    to: 'deleted',
    onFailure: 'error',
    lock: 'respect',
    role: 'member',
  },
  createImage: {
    from: ['active', 'stopped', 'paused', 'suspended'],
    during: 'none',
    tasks: ['image_snapshot_pending', 'image_snapshot', 'image_pending_upload', 'image_uploading'],
    to: 'same',
    onFailure: 'same',
    lock: 'respect',
    role: 'member',
  },
} as const satisfies Record<OperationKind, Transition>;

/** What a guard looks at. */
export interface GuardedInstance {
  readonly id: string;
  readonly vmState: VmState;
  readonly taskState: TaskState | null;
  readonly locked: boolean;
}

/**
 * Throws the 409 that Nova gives when `kind` may not begin now. Clients parse these texts.
 * The store repeats the check as a compare-and-set, so passing here is a courtesy, not a right.
 */
export function checkAllowed(
  kind: OperationKind,
  instance: GuardedInstance,
  caller: { readonly isAdmin: boolean },
): void {
  const row: Transition = TRANSITIONS[kind];
  const { id } = instance;
  if (instance.locked && row.lock === 'respect' && !caller.isAdmin) throw new CloudError('instanceLocked', { id });
  if (instance.taskState !== null && row.during !== 'any') {
    throw new CloudError('instanceInState', { action: kind, id, attribute: 'task_state', state: instance.taskState });
  }
  if (!row.from.includes(instance.vmState)) {
    throw new CloudError('instanceInState', { action: kind, id, attribute: 'vm_state', state: instance.vmState });
  }
}

const STATUS: Record<VmState, string> = {
  building: 'BUILD',
  active: 'ACTIVE',
  stopped: 'SHUTOFF',
  paused: 'PAUSED',
  suspended: 'SUSPENDED',
  error: 'ERROR',
  deleted: 'DELETED',
};

/** The `status` that the API shows; it is never stored. */
export function statusOf(vmState: VmState): string {
  return STATUS[vmState];
}

/** The states that show as `status`, matched case-insensitively; none for an unknown word. */
export function vmStatesOf(status: string): readonly VmState[] {
  return VM_STATES.filter((state) => STATUS[state] === status.toUpperCase());
}
