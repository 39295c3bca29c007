/** The states a server can be in, and the one word that the API makes of them. */

export const VM_STATES = [
  'building',
  'active',
  'stopped',
  'paused',
  'suspended',
  'rescued',
  'shelved',
  'shelved_offloaded',
  'resized',
  'soft-delete',
  'error',
  'deleted',
] as const;
export type VmState = (typeof VM_STATES)[number];

/** What is being done with it; null while nothing is. */
export const TASK_STATES = [
  'scheduling',
  'networking',
  'block_device_mapping',
  'spawning',
  'deleting',
  'soft-deleting',
  'restoring',
  'powering-on',
  'powering-off',
  'rebooting',
  'reboot_pending',
  'reboot_started',
  'rebooting_hard',
  'reboot_pending_hard',
  'reboot_started_hard',
  'pausing',
  'unpausing',
  'suspending',
  'resuming',
  'rescuing',
  'unrescuing',
  'rebuilding',
  'rebuild_block_device_mapping',
  'rebuild_spawning',
  'shelving',
  'shelving_image_pending_upload',
  'shelving_image_uploading',
  'shelving_offloading',
  'unshelving',
  'image_snapshot_pending',
  'image_snapshot',
  'image_backup',
  'image_pending_upload',
  'image_uploading',
  'updating_password',
  // Nova has none for these two, and keeps others off by a lock of its own.
  'attaching-interface',
  'detaching-interface',
  'resize_prep',
  'resize_migrating',
  'resize_migrated',
  'resize_finish',
  'resize_confirming',
  'resize_reverting',
  'migrating',
] as const;
export type TaskState = (typeof TASK_STATES)[number];

/** Nova's numbers. */
export const POWER_STATES = { none: 0, running: 1, paused: 3, shutdown: 4, crashed: 6, suspended: 7 } as const;

const STATUS: Record<VmState, string> = {
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

const REBUILDING = {
  rebuilding: 'REBUILD',
  rebuild_block_device_mapping: 'REBUILD',
  rebuild_spawning: 'REBUILD',
} as const;

const RESIZING = {
  resize_prep: 'RESIZE',
  resize_migrating: 'RESIZE',
  resize_migrated: 'RESIZE',
  resize_finish: 'RESIZE',
} as const;

/** Where what is being done shows instead of the state. */
const STATUS_DURING: Partial<Record<VmState, Partial<Record<TaskState, string>>>> = {
  active: {
    rebooting: 'REBOOT',
    reboot_pending: 'REBOOT',
    reboot_started: 'REBOOT',
    rebooting_hard: 'HARD_REBOOT',
    reboot_pending_hard: 'HARD_REBOOT',
    reboot_started_hard: 'HARD_REBOOT',
    updating_password: 'PASSWORD',
    migrating: 'MIGRATING',
    ...REBUILDING,
    ...RESIZING,
  },
  stopped: { ...REBUILDING, ...RESIZING },
  paused: { migrating: 'MIGRATING' },
  resized: { resize_reverting: 'REVERT_RESIZE' },
  error: REBUILDING,
};

/** Every word that `statusOf` can answer. */
export const STATUSES: readonly string[] = [
  ...new Set([
    ...Object.values(STATUS),
    ...Object.values(STATUS_DURING).flatMap((during) => Object.values(during ?? {})),
  ]),
];

/** The `status` that the API shows; it is never stored. */
export function statusOf(vmState: VmState, taskState: TaskState | null = null): string {
  return (taskState && STATUS_DURING[vmState]?.[taskState]) || STATUS[vmState];
}

/** A state, and the tasks during which it counts; `but` are those during which it does not. */
export interface StatesOfStatus {
  readonly vmState: VmState;
  readonly tasks: { readonly only: readonly TaskState[] } | { readonly but: readonly TaskState[] };
}

/** What shows as `status`, matched case-insensitively; nothing for an unknown word. */
export function statesOf(status: string): readonly StatesOfStatus[] {
  const word = status.toUpperCase();
  return VM_STATES.flatMap((vmState): StatesOfStatus[] => {
    const during = Object.entries(STATUS_DURING[vmState] ?? {}) as [TaskState, string][];
    const only = during.filter(([, shown]) => shown === word).map(([task]) => task);
    if (STATUS[vmState] === word) return [{ vmState, tasks: { but: during.map(([task]) => task) } }];
    return only.length > 0 ? [{ vmState, tasks: { only } }] : [];
  });
}
