/**
 * A server as a simple machine, from Nova's documentation and Micronova's promises, without a look at the state table: when what
 * may begin, where it ends, where it may leave the server when something goes wrong on the way.
 */

export type State =
  | 'active'
  | 'stopped'
  | 'paused'
  | 'suspended'
  | 'rescued'
  | 'shelved'
  | 'shelved_offloaded'
  | 'soft-delete'
  | 'error'
  | 'deleted';

/** What is done to a server in a sequence, by the words of its requests. */
export interface Rule {
  readonly request: { readonly action: string; readonly argument: unknown } | 'DELETE';
  /** Of an operation with steps: its kind, as the record has it. */
  readonly kind?: string;
  readonly from: readonly State[];
  /** Where a sequence asks for it, if not from all of them. */
  readonly chosenFrom?: readonly State[];
  /** Kinds in flight that it ends and follows; nothing else may be in flight. */
  readonly over: 'nothing' | 'anything' | readonly string[];
  readonly to: readonly State[];
  /** Where it may leave the server when it fails or is cancelled; `=` is where it was. */
  readonly failed: readonly (State | '=')[];
  readonly admin?: true;
  /** Driver methods in which it may hang or fail. */
  readonly points: readonly string[];
}

const ON: readonly State[] = ['active', 'stopped', 'paused', 'suspended'];
const ALL: readonly State[] = [...ON, 'rescued', 'shelved', 'shelved_offloaded', 'soft-delete', 'error'];
const SAME = ['='] as const;

function doing(
  kind: string,
  action: string,
  from: readonly State[],
  to: readonly State[],
  points: readonly string[],
  more: { argument?: unknown; over?: Rule['over']; failed?: Rule['failed']; admin?: true } = {},
): Rule {
  const { argument = null, over = 'nothing', failed = SAME, admin } = more;
  return { kind, request: { action, argument }, from, over, to, failed, points, ...(admin && { admin }) };
}

/** How the cloud of a run is set up. */
export interface Setting {
  readonly deletesSoftly: boolean;
  readonly offloadsAtOnce: boolean;
}

/** Every wish by name. `image` is what servers are rebuilt from. */
export function rulesOf({ deletesSoftly, offloadsAtOnce }: Setting, image: string): Readonly<Record<string, Rule>> {
  const gone: readonly State[] = ['deleted'];
  return {
    start: doing('start', 'os-start', ['stopped'], ['active'], ['start']),
    stop: doing('stop', 'os-stop', ['active', 'error'], ['stopped'], ['stop']),
    forceStop: doing('forceStop', 'os-stop', ['active', 'error'], ['stopped'], ['stop'], {
      argument: { type: 'HARD' },
      over: ['stop', 'reboot'],
    }),
    softReboot: doing('reboot', 'reboot', ['active'], ['active'], ['reboot'], { argument: { type: 'SOFT' } }),
    hardReboot: doing('hardReboot', 'reboot', [...ON, 'error'], ['active'], ['stop', 'start'], {
      argument: { type: 'HARD' },
      over: ['reboot', 'pause', 'unpause', 'suspend', 'resume'],
      failed: ['error'],
    }),
    pause: doing('pause', 'pause', ['active'], ['paused'], ['pause']),
    unpause: doing('unpause', 'unpause', ['paused'], ['active'], ['start']),
    suspend: doing('suspend', 'suspend', ['active'], ['suspended'], ['suspend']),
    resume: doing('resume', 'resume', ['suspended'], ['active'], ['start']),
    rescue: doing(
      'rescue',
      'rescue',
      ['active', 'stopped', 'error'],
      ['rescued'],
      ['stop', 'spec', 'reconfigure', 'start'],
    ),
    unrescue: doing('unrescue', 'unrescue', ['rescued'], ['active'], ['stop', 'revert', 'start']),
    rebuild: doing(
      'rebuild',
      'rebuild',
      ['active', 'stopped', 'error'],
      ['active', 'stopped'],
      ['stop', 'spec', 'reconfigure', 'start', 'settle'],
      { argument: { imageRef: image }, failed: ['error'] },
    ),
    shelve: doing(
      'shelve',
      'shelve',
      ON,
      [offloadsAtOnce ? 'shelved_offloaded' : 'shelved'],
      ['stop', 'backupDisk', 'destroy'],
    ),
    shelveOffload: doing('shelveOffload', 'shelveOffload', ['shelved'], ['shelved_offloaded'], ['destroy'], {
      admin: true,
    }),
    unshelve: doing('unshelve', 'unshelve', ['shelved', 'shelved_offloaded'], ['active'], ['create', 'start']),
    createImage: doing('createImage', 'createImage', ON, [], ['backupDisk'], { argument: { name: 'snap' } }),
    createBackup: doing('createBackup', 'createBackup', ON, [], ['backupDisk'], {
      argument: { name: 'backup', backup_type: 'daily', rotation: 1 },
    }),
    changePassword: doing('changePassword', 'changePassword', ['active'], [], ['setPassword'], {
      argument: { adminPass: 'secret' },
    }),
    restore: doing('restore', 'restore', ['soft-delete'], ['active'], ['start']),
    forceDelete: doing('forceDelete', 'forceDelete', ALL, gone, ['destroy'], {
      over: 'anything',
      failed: ['error'],
    }),
    delete: {
      request: 'DELETE',
      kind: deletesSoftly ? 'softDelete' : 'delete',
      from: ALL,
      over: 'anything',
      // What is on no host, or off it, cannot be kept: it goes at once.
      to: deletesSoftly ? ['soft-delete', 'deleted'] : gone,
      failed: ['=', 'error'],
      points: deletesSoftly ? ['stop', 'revert'] : ['destroy'],
    },
    resetToError: {
      request: { action: 'os-resetState', argument: { state: 'error' } },
      from: ALL.filter((state) => !state.startsWith('shelved')),
      chosenFrom: ['active', 'stopped', 'paused'],
      over: 'nothing',
      to: ['error'],
      failed: [],
      admin: true,
      points: [],
    },
    lock: { request: { action: 'lock', argument: null }, from: ALL, over: 'anything', to: [], failed: [], points: [] },
    unlock: {
      request: { action: 'unlock', argument: null },
      from: ALL,
      over: 'anything',
      to: [],
      failed: [],
      points: [],
    },
  };
}

/** What the guest of a server at rest may be found doing. In ERROR it may do anything. */
export const GUEST: Readonly<Record<Exclude<State, 'error'>, readonly string[]>> = {
  active: ['running'],
  stopped: ['stopped', 'crashed'],
  paused: ['paused'],
  suspended: ['suspended'],
  rescued: ['running', 'paused', 'stopped', 'crashed'],
  shelved: ['stopped', 'crashed'],
  shelved_offloaded: ['absent'],
  'soft-delete': ['stopped', 'crashed'],
  deleted: ['absent'],
};

/** Where a guest that changes by itself takes the record. */
export const BY_ITSELF = { crashed: 'stopped', stopped: 'stopped', paused: 'paused' } as const;
export type Exit = keyof typeof BY_ITSELF;
