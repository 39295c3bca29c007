/**
 * The QMP commands this driver uses, as one table: arguments, answer, patience. QEMU 7.2's names; only the fields we
 * read. A command that is not here cannot be sent, so this file is the whole surface between us and QEMU.
 */

/** How long an answer may take: `fast` commands only touch QEMU's own state, `slow` ones may open or flush files. */
export type TimeoutClass = 'fast' | 'slow';

/** Patience per class in ms. Generous: with many software-emulated guests the main loop of each is starved at times. */
export const TIMEOUT_MS: Readonly<Record<TimeoutClass, number>> = { fast: 10_000, slow: 60_000 };

/** A node of the block layer, as in `blockdev-add`; open-ended because each driver has its own keys. */
export interface BlockdevOptions {
  readonly driver: string;
  readonly 'node-name'?: string;
  readonly [option: string]: unknown;
}

/** Tuning of a backup job (`x-`: unstable upstream, checked with QEMU 7.2). Bytes and counts. */
export interface BackupPerf {
  readonly 'use-copy-range'?: boolean;
  readonly 'max-workers'?: number;
  readonly 'max-chunk'?: number;
}

/** One entry of `query-jobs`. */
export interface JobInfo {
  readonly id: string;
  readonly type: string;
  readonly status: string;
  readonly 'current-progress': number;
  readonly 'total-progress': number;
  readonly error?: string;
}

/** One device of `query-block`. */
export interface BlockDevice {
  readonly 'io-status'?: 'ok' | 'failed' | 'nospace';
}

/** What a migration can do beyond the necessary; they stay set until they are unset. */
export type MigrationCapability = 'events' | 'pause-before-switchover' | 'auto-converge' | 'return-path';

/** The answer of `query-migrate`; empty before the first migration. */
export interface Migration {
  readonly status?: string;
  readonly 'error-desc'?: string;
  readonly ram?: { readonly total: number; readonly remaining: number };
}

/** Arguments and answer of each command. */
export interface QmpCommands {
  qmp_capabilities: { args: undefined; answer: object };
  'query-status': { args: undefined; answer: { status: string; running: boolean } };
  'query-block': { args: undefined; answer: BlockDevice[] };
  stop: { args: undefined; answer: object };
  cont: { args: undefined; answer: object };
  quit: { args: undefined; answer: object };
  system_powerdown: { args: undefined; answer: object };
  system_reset: { args: undefined; answer: object };
  /** What QEMU does when the guest powers off. */
  'set-action': { args: { shutdown: 'pause' | 'poweroff' }; answer: object };
  'inject-nmi': { args: undefined; answer: object };
  'qom-get': { args: { path: string; property: string }; answer: unknown };
  'qom-list': { args: { path: string }; answer: { name: string }[] };
  netdev_add: { args: { type: string; id: string; readonly [option: string]: unknown }; answer: object };
  netdev_del: { args: { id: string }; answer: object };
  device_add: { args: { driver: string; id: string; readonly [property: string]: unknown }; answer: object };
  /** Only asks the guest: it is out with the event `DEVICE_DELETED`. */
  device_del: { args: { id: string }; answer: object };
  /** QEMU, and a guest that knows how, say on all networks where the guest is now. */
  'announce-self': { args: { initial: number; max: number; rounds: number; step: number }; answer: object };
  'migrate-set-parameters': { args: { 'max-bandwidth': number; 'downtime-limit'?: number }; answer: object };
  'migrate-set-capabilities': {
    args: { capabilities: { capability: MigrationCapability; state: boolean }[] };
    answer: object;
  };
  /** Lets a migration go on that `pause-before-switchover` holds. */
  'migrate-continue': { args: { state: 'pre-switchover' }; answer: object };
  migrate: { args: { uri: string }; answer: object };
  migrate_cancel: { args: undefined; answer: object };
  'migrate-incoming': { args: { uri: string }; answer: object };
  'query-migrate': { args: undefined; answer: Migration };
  'blockdev-add': { args: BlockdevOptions; answer: object };
  'blockdev-del': { args: { 'node-name': string }; answer: object };
  'query-named-block-nodes': { args: { flat: boolean }; answer: { 'node-name'?: string; file: string }[] };
  'blockdev-backup': {
    args: {
      'job-id': string;
      device: string;
      target: string;
      sync: 'full';
      'auto-dismiss': boolean;
      speed?: number;
      'x-perf'?: BackupPerf;
    };
    answer: object;
  };
  'blockdev-mirror': {
    args: {
      'job-id': string;
      device: string;
      target: string;
      sync: 'top';
      'copy-mode': 'background';
      speed: number;
      'auto-dismiss': boolean;
    };
    answer: object;
  };
  'nbd-server-start': { args: { addr: { type: 'unix'; data: { path: string } } }; answer: object };
  /** Also ends every export. */
  'nbd-server-stop': { args: undefined; answer: object };
  'block-export-add': {
    args: { type: 'nbd'; id: string; 'node-name': string; name: string; writable: boolean };
    answer: object;
  };
  'query-jobs': { args: undefined; answer: JobInfo[] };
  'block-job-cancel': { args: { device: string; force: boolean }; answer: object };
  'job-dismiss': { args: { id: string }; answer: object };
}

/** Name of a known command. */
export type QmpCommand = keyof QmpCommands;

/** Patience per command. */
export const TIMEOUT_CLASS: Readonly<Record<QmpCommand, TimeoutClass>> = {
  qmp_capabilities: 'fast',
  'query-status': 'fast',
  'query-block': 'fast',
  stop: 'slow',
  cont: 'slow',
  quit: 'fast',
  system_powerdown: 'fast',
  system_reset: 'fast',
  'set-action': 'fast',
  'inject-nmi': 'fast',
  'qom-get': 'fast',
  'qom-list': 'fast',
  netdev_add: 'slow',
  netdev_del: 'slow',
  device_add: 'slow',
  device_del: 'fast',
  'announce-self': 'fast',
  'migrate-set-parameters': 'fast',
  'migrate-set-capabilities': 'fast',
  'migrate-continue': 'fast',
  migrate: 'fast',
  migrate_cancel: 'fast',
  'migrate-incoming': 'fast',
  'query-migrate': 'fast',
  'blockdev-add': 'slow',
  'blockdev-del': 'slow',
  'query-named-block-nodes': 'fast',
  'blockdev-backup': 'slow',
  'blockdev-mirror': 'slow',
  'nbd-server-start': 'fast',
  'nbd-server-stop': 'slow',
  'block-export-add': 'slow',
  'query-jobs': 'fast',
  'block-job-cancel': 'slow',
  'job-dismiss': 'fast',
};

/** The events this driver acts on; others are passed on untouched. */
export interface QmpEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
  /** Seconds and microseconds of QEMU's clock. */
  readonly timestamp: { readonly seconds: number; readonly microseconds: number };
}
