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

/** Arguments and answer of each command. */
export interface QmpCommands {
  qmp_capabilities: { args: undefined; answer: object };
  'query-status': { args: undefined; answer: { status: string; running: boolean } };
  cont: { args: undefined; answer: object };
  quit: { args: undefined; answer: object };
  system_powerdown: { args: undefined; answer: object };
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
  cont: 'fast',
  quit: 'fast',
  system_powerdown: 'fast',
  'blockdev-add': 'slow',
  'blockdev-del': 'slow',
  'query-named-block-nodes': 'fast',
  'blockdev-backup': 'slow',
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
