/**
 * The state table: the one place that says what is allowed when.
 *
 * Each row is something that can be asked of a server: the states it may begin in, what it is stronger than, the task states
 * it passes through, where it ends and where a failure leaves the server. Guards and their 409 texts, pre-emption, the
 * reference and the tests are derived from it; nothing else compares states.
 */
import { CloudError } from '../errors.ts';
import type { InstantKind, OperationKind } from '../operation/operation.ts';
import { TASK_STATES, type TaskState, VM_STATES, type VmState } from './states.ts';

/** Whether something may begin now. */
export interface Guard {
  /** Its name among instance actions and in the text of a refusal. */
  readonly action: string;
  /** Its name in the text of a refusal, where Nova has another there. */
  readonly refusedAs?: string;
  /** Where it may begin. */
  readonly from: readonly VmState[];
  /**
   * Task states during which it may begin all the same. Nothing in flight is pre-empted by what has no steps; an operation is
   * stronger than what it may begin during, which is cancelled and undone first.
   */
  readonly during: 'none' | 'any' | readonly TaskState[];
  /** Whether a lock holds it off (for everybody but an admin). */
  readonly lock: 'respect' | 'ignore';
  /** The role on the server's project that may ask for it. */
  readonly role: 'member' | 'admin';
}

export interface Transition extends Guard {
  /** Task states it shows, in order; the first is set when it is accepted. */
  readonly tasks: readonly [TaskState, ...TaskState[]];
  /** Where it ends: as it began (`same`), in the one state, or in that of several which its last step records. */
  readonly to: 'same' | readonly [VmState, ...VmState[]];
  /** Where a failure leaves the server once everything is undone. */
  readonly onFailure: VmState | 'same';
  /** Whether its owner may take it back while it is going on; only something stronger ends it otherwise. */
  readonly cancel: 'allowed' | 'refused';
}

const LIVING = VM_STATES.filter((state) => state !== 'deleted');
const ON_A_HOST = ['active', 'stopped', 'paused', 'suspended'] as const;
const MEMBER = { during: 'none', lock: 'respect', role: 'member', onFailure: 'same', cancel: 'allowed' } as const;
/** What is deleted half-way is nothing that anybody wants back. */
const DELETION = { ...MEMBER, during: 'any', cancel: 'refused' } as const;
/** To another host, another flavor, or both: it ends where its owner looks whether all is well. */
const COLD_MOVE = {
  ...MEMBER,
  from: ['active', 'stopped'],
  tasks: ['resize_prep', 'resize_migrating', 'resize_migrated', 'resize_finish'],
  to: ['resized'],
} as const;
const INTERFACE = { ...MEMBER, from: ['active', 'stopped', 'paused'], to: 'same' } as const;
const MOVED = { ...MEMBER, from: ['resized'], to: ['active', 'stopped'] } as const;
const REBOOTS = ['rebooting', 'reboot_pending', 'reboot_started'] as const;
const SNAPSHOT_TASKS = ['image_pending_upload', 'image_uploading'] as const;

export const TRANSITIONS = {
  create: {
    ...MEMBER,
    action: 'create',
    from: [],
    tasks: ['scheduling', 'networking', 'block_device_mapping', 'spawning'],
    to: ['active'],
    onFailure: 'error',
  },
  delete: {
    ...DELETION,
    action: 'delete',
    from: LIVING,
    tasks: ['deleting'],
    to: ['deleted'],
    onFailure: 'error',
  },
  forceDelete: {
    ...DELETION,
    action: 'forceDelete',
    from: LIVING,
    tasks: ['deleting'],
    to: ['deleted'],
    onFailure: 'error',
  },
  softDelete: {
    ...DELETION,
    action: 'softDelete',
    // Also while it is being restored.
    from: ['active', 'stopped', 'paused', 'suspended', 'rescued', 'error', 'soft-delete'],
    tasks: ['soft-deleting'],
    to: ['soft-delete'],
  },
  restore: { ...MEMBER, action: 'restore', from: ['soft-delete'], tasks: ['restoring'], to: ['active'] },
  start: { ...MEMBER, action: 'start', from: ['stopped'], tasks: ['powering-on'], to: ['active'] },
  stop: { ...MEMBER, action: 'stop', from: ['active', 'error'], tasks: ['powering-off'], to: ['stopped'] },
  forceStop: {
    ...MEMBER,
    action: 'stop',
    from: ['active', 'error'],
    during: ['powering-off', ...REBOOTS],
    tasks: ['powering-off'],
    to: ['stopped'],
  },
  reboot: { ...MEMBER, action: 'reboot', from: ['active'], tasks: REBOOTS, to: ['active'] },
  hardReboot: {
    ...MEMBER,
    action: 'reboot',
    from: [...ON_A_HOST, 'error'],
    during: [...REBOOTS, 'pausing', 'unpausing', 'suspending', 'resuming'],
    tasks: ['rebooting_hard', 'reboot_pending_hard', 'reboot_started_hard'],
    to: ['active'],
    onFailure: 'error',
  },
  pause: { ...MEMBER, action: 'pause', from: ['active'], tasks: ['pausing'], to: ['paused'] },
  unpause: { ...MEMBER, action: 'unpause', from: ['paused'], tasks: ['unpausing'], to: ['active'] },
  suspend: { ...MEMBER, action: 'suspend', from: ['active'], tasks: ['suspending'], to: ['suspended'] },
  resume: { ...MEMBER, action: 'resume', from: ['suspended'], tasks: ['resuming'], to: ['active'] },
  rescue: {
    ...MEMBER,
    action: 'rescue',
    from: ['active', 'stopped', 'error'],
    tasks: ['rescuing'],
    to: ['rescued'],
  },
  unrescue: { ...MEMBER, action: 'unrescue', from: ['rescued'], tasks: ['unrescuing'], to: ['active'] },
  rebuild: {
    ...MEMBER,
    action: 'rebuild',
    from: ['active', 'stopped', 'error'],
    tasks: ['rebuilding', 'rebuild_block_device_mapping', 'rebuild_spawning'],
    to: ['active', 'stopped'],
    // The old disk is back, but whoever waits for the new one must see that it did not come.
    onFailure: 'error',
  },
  shelve: {
    ...MEMBER,
    action: 'shelve',
    from: ON_A_HOST,
    tasks: ['shelving', 'shelving_image_pending_upload', 'shelving_image_uploading', 'shelving_offloading'],
    to: ['shelved', 'shelved_offloaded'],
  },
  shelveOffload: {
    ...MEMBER,
    action: 'shelveOffload',
    from: ['shelved'],
    tasks: ['shelving_offloading'],
    to: ['shelved_offloaded'],
    role: 'admin',
  },
  unshelve: {
    ...MEMBER,
    action: 'unshelve',
    from: ['shelved', 'shelved_offloaded'],
    tasks: ['unshelving', 'spawning'],
    to: ['active'],
  },
  createImage: {
    ...MEMBER,
    action: 'createImage',
    from: ON_A_HOST,
    tasks: ['image_snapshot_pending', 'image_snapshot', ...SNAPSHOT_TASKS],
    to: 'same',
  },
  createBackup: {
    ...MEMBER,
    action: 'createBackup',
    from: ON_A_HOST,
    tasks: ['image_backup', ...SNAPSHOT_TASKS],
    to: 'same',
  },
  changePassword: { ...MEMBER, action: 'changePassword', from: ['active'], tasks: ['updating_password'], to: 'same' },
  resize: { ...COLD_MOVE, action: 'resize' },
  migrate: { ...COLD_MOVE, action: 'migrate', role: 'admin' },
  liveMigrate: {
    ...MEMBER,
    action: 'live-migration',
    refusedAs: 'os-migrateLive',
    from: ['active', 'paused'],
    tasks: ['migrating'],
    to: 'same',
    role: 'admin',
  },
  evacuate: {
    ...MEMBER,
    action: 'evacuate',
    from: ['active', 'stopped', 'error'],
    tasks: ['rebuilding', 'rebuild_block_device_mapping', 'rebuild_spawning'],
    to: ['active', 'stopped'],
    role: 'admin',
    cancel: 'allowed',
  },
  attachInterface: { ...INTERFACE, action: 'attach_interface', tasks: ['attaching-interface'] },
  detachInterface: { ...INTERFACE, action: 'detach_interface', tasks: ['detaching-interface'] },
  confirmResize: { ...MOVED, action: 'confirmResize', tasks: ['resize_confirming'] },
  revertResize: { ...MOVED, action: 'revertResize', tasks: ['resize_reverting'] },
} as const satisfies Record<OperationKind, Transition>;

const CONSOLE = {
  ...MEMBER,
  from: ['active', 'paused', 'rescued', 'error'],
  during: TASK_STATES.filter((task) => task !== 'deleting'),
  lock: 'ignore',
} as const;

/** What is done at once, and what is only looked at or written down. */
export const GUARDS = {
  lock: { ...MEMBER, action: 'lock', from: LIVING, during: 'any', lock: 'ignore' },
  unlock: { ...MEMBER, action: 'unlock', from: LIVING, during: 'any', lock: 'ignore' },
  // The disk of a shelved server may be in its image alone: only unshelving brings it back. One that was moved has two hosts
  // until that is confirmed or reverted.
  resetState: {
    ...MEMBER,
    action: 'resetState',
    from: LIVING.filter((state) => !['shelved', 'shelved_offloaded', 'resized'].includes(state)),
    lock: 'ignore',
    role: 'admin',
  },
  trigger_crash_dump: {
    ...MEMBER,
    action: 'trigger_crash_dump',
    from: ['active', 'paused', 'rescued', 'error'],
    during: 'any',
  },
  securityGroups: { ...MEMBER, action: 'change security groups of', from: LIVING, during: 'any' },
  fixedIps: { ...MEMBER, action: 'change addresses of', from: LIVING, during: 'any' },
  metadata: { ...MEMBER, action: 'update metadata', from: ON_A_HOST, during: 'any' },
  vncConsole: { ...CONSOLE, action: 'get_vnc_console' },
  serialConsole: { ...CONSOLE, action: 'get_serial_console' },
} as const satisfies Record<
  InstantKind | 'metadata' | 'securityGroups' | 'fixedIps' | 'vncConsole' | 'serialConsole',
  Guard
>;

/** What a guard looks at. */
export interface GuardedInstance {
  readonly id: string;
  readonly vmState: VmState;
  readonly taskState: TaskState | null;
  readonly locked: boolean;
}

/** Those that their owner may take back. */
export const CANCELLABLE: readonly OperationKind[] = Object.entries(TRANSITIONS).flatMap(([kind, { cancel }]) =>
  cancel === 'allowed' ? [kind as OperationKind] : [],
);

/** Those that begin while something is in flight: their first step waits for the end of it. */
export const STRONGER: readonly OperationKind[] = Object.entries(TRANSITIONS).flatMap(([kind, { during }]) =>
  during === 'none' ? [] : [kind as OperationKind],
);

/** What clients call it. */
export function actionOf(kind: OperationKind | keyof typeof GUARDS): string {
  return guardOf(kind).action;
}

function guardOf(kind: OperationKind | keyof typeof GUARDS): Guard {
  return kind in TRANSITIONS ? TRANSITIONS[kind as OperationKind] : GUARDS[kind as keyof typeof GUARDS];
}

/** Whether something in this task state may be pre-empted by it. */
export function mayBeginDuring({ during }: Guard, task: TaskState | null): boolean {
  return task === null || during === 'any' || (during !== 'none' && during.includes(task));
}

/**
 * Throws what Nova answers when this may not begin now: 403 for the wrong role, else 409. Clients parse the texts.
 * The store repeats the check as a compare-and-set, so passing here is a courtesy, not a right.
 */
export function checkAllowed(
  kind: OperationKind | keyof typeof GUARDS,
  instance: GuardedInstance,
  caller: { readonly isAdmin: boolean },
): void {
  const guard = guardOf(kind);
  const { id } = instance;
  const action = guard.refusedAs ?? guard.action;
  if (guard.role === 'admin' && !caller.isAdmin)
    throw new CloudError('policyForbids', { rule: `os_compute_api:servers:${action}` });
  if (instance.locked && guard.lock === 'respect' && !caller.isAdmin) throw new CloudError('instanceLocked', { id });
  if (!guard.from.includes(instance.vmState))
    throw new CloudError('instanceInState', { action, id, attribute: 'vm_state', state: instance.vmState });
  if (!mayBeginDuring(guard, instance.taskState)) {
    const state = String(instance.taskState);
    throw new CloudError('instanceInState', { action, id, attribute: 'task_state', state });
  }
}
