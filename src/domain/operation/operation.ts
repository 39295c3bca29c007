/** What an operation is: a piece of work on a server that was accepted and will end, whatever dies in between. */

/** Kinds with steps, which a conductor runs. The files of `operations/` define them. */
export const OPERATION_KINDS = [
  'create',
  'delete',
  'forceDelete',
  'softDelete',
  'restore',
  'start',
  'stop',
  'forceStop',
  'reboot',
  'hardReboot',
  'pause',
  'unpause',
  'suspend',
  'resume',
  'rescue',
  'unrescue',
  'rebuild',
  'shelve',
  'shelveOffload',
  'unshelve',
  'createImage',
  'createBackup',
  'changePassword',
  'resize',
  'migrate',
  'confirmResize',
  'revertResize',
  'evacuate',
  'liveMigrate',
  'attachInterface',
  'detachInterface',
] as const;
export type OperationKind = (typeof OPERATION_KINDS)[number];

/** What is done at once, in the request or by a reconciler; it is kept among the operations as one that has ended. */
export const INSTANT_KINDS = ['lock', 'unlock', 'resetState', 'trigger_crash_dump'] as const;
export type InstantKind = (typeof INSTANT_KINDS)[number];

/**
 * `pending` → `running` → `done`; after a failure or a cancel `undoing` → `undone`. `needs_attention`: an undo failed, or
 * the definition is not known to this version; an operator resumes or abandons it. `abandoned` is how that ends.
 */
export const OPERATION_STATES = [
  'pending',
  'running',
  'undoing',
  'done',
  'undone',
  'needs_attention',
  'abandoned',
] as const;
export type OperationState = (typeof OPERATION_STATES)[number];

/** States in which nothing more happens by itself and nothing is held. */
export const ENDED: ReadonlySet<OperationState> = new Set(['done', 'undone', 'abandoned']);

/** How far the running step is. */
export interface Progress {
  readonly step: string;
  readonly done: number;
  readonly total: number;
  readonly unit: 'bytes';
}
