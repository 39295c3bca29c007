/**
 * Sending a guest that executes to another host: first its disks, which are then followed, then its memory; for the last of that
 * QEMU stops the processors (`pause-before-switchover`), the last of the disks is copied, they are let go of, and it ends.
 *
 * The other side has said that it read everything (`return-path`) before this resolves. Until then QEMU lets the guest go on by
 * itself when anything breaks.
 */

import type { JobControl } from '../driver.ts';
import { DriverError } from '../driver-error.ts';
import { FILES } from './argv.ts';
import { follow } from './follow.ts';
import { BANDWIDTH, cancelMigration, setLive, UNDER_WAY } from './migration.ts';
import { beginMirror, completeMirrors, lookAtMirrors, removeMirrors } from './mirror.ts';
import { Outgoing, type OutgoingOptions, removeOutgoing } from './outgoing.ts';
import type { QmpClient } from './qmp/client.ts';
import { QmpCommandError } from './qmp/errors.ts';

/** How long the processors may stand still for the last of the memory; the disks' last and the other side come on top. */
const DOWNTIME_MS = 300;
/** QEMU and its guest stand still while a disk's server at the other end is spoken to. */
const HANDSHAKE_MS = 10_000;
const EVENTS = ['MIGRATION', 'JOB_STATUS_CHANGE', 'BLOCK_JOB_READY', 'BLOCK_JOB_ERROR'];

/** What is sent. */
export interface SendOrder extends Pick<OutgoingOptions, 'dir' | 'user' | 'open'> {
  /** Names of the disks that go, in the guest's order; none where the other side has the same ones. */
  readonly disks: readonly string[];
  /** What is expected of the memory, in bytes, before QEMU says it. */
  readonly memoryBytes: number;
  /** The most that the memory, and that each disk, may take of the line; 0 is no limit. */
  readonly bytesPerSecond: number;
}

/**
 * Sends it. Rejects by the signal, too; then nothing of the attempt is left in QEMU or in the folder, and the processors may stand
 * still for the caller to see to.
 */
export async function sendGuest(qmp: QmpClient, order: SendOrder, control: JobControl): Promise<void> {
  const over = new AbortController();
  const ending = AbortSignal.any([control.signal, over.signal]);
  const report = reportTo(control);
  const orEnd = (error: unknown) => over.abort(error);
  let outgoing: Outgoing | undefined;
  // Whatever QEMU waits for then fails at once.
  const onEnding = () => outgoing?.destroy();
  ending.addEventListener('abort', onEnding);
  try {
    control.signal.throwIfAborted();
    report.of(0, order.memoryBytes);
    await removeSending(qmp, order.dir);
    const { dir, user, open } = order;
    outgoing = await Outgoing.listen({ dir, user, open, onBroken: orEnd });
    await sendDisks(qmp, outgoing, order, report, { signal: ending, orEnd });
    await sendMemory(qmp, outgoing, order, report, ending);
    report.end();
  } catch (error) {
    outgoing?.destroy();
    // The first failure is the cause; what it made fail in turn says little.
    const cause = over.signal.aborted ? over.signal.reason : error;
    await removeSending(qmp, order.dir);
    if (control.signal.aborted) throw new DriverError('aborted', 'Migration ended', { cause });
    if (cause instanceof DriverError || cause instanceof QmpCommandError || !(cause instanceof Error)) throw cause;
    throw new DriverError('command_failed', `Migration failed: ${cause.message}`, { cause });
  } finally {
    ending.removeEventListener('abort', onEnding);
    await outgoing?.close();
    await setLive(qmp, false).catch(() => undefined); // a QEMU that is gone has none; any other that migrates sets them first
  }
}

/** Whether QEMU has sent everything, and the other side has said so. */
export async function hasSent(qmp: QmpClient): Promise<boolean> {
  const [{ status }, migration] = [await qmp.execute('query-status'), await qmp.execute('query-migrate')];
  return status === 'postmigrate' && migration.status === 'completed';
}

/** Ends an attempt, and takes away what is left of it. None: nothing. */
export async function removeSending(qmp: QmpClient, dir: string): Promise<void> {
  await cancelMigration(qmp);
  await removeMirrors(qmp);
  await removeOutgoing(dir);
}

/** Copies the disks until there is nothing left but what the guest writes from now on. */
async function sendDisks(
  qmp: QmpClient,
  outgoing: Outgoing,
  { disks, memoryBytes, bytesPerSecond }: SendOrder,
  report: Report,
  { signal, orEnd }: { readonly signal: AbortSignal; readonly orEnd: (error: unknown) => void },
): Promise<void> {
  for (const [index, name] of disks.entries()) {
    await outgoing.prepare('disks', signal);
    const late = setTimeout(() => orEnd(new Error('the other side does not speak for its disks')), HANDSHAKE_MS);
    await beginMirror(qmp, index, name, bytesPerSecond).finally(() => clearTimeout(late));
  }
  const ready = async () => {
    const { jobs, done, total } = await look(qmp, signal);
    report.of(done, total + memoryBytes);
    return jobs.every(({ status }) => status === 'ready') ? true : undefined;
  };
  await follow(qmp, EVENTS, ready, signal);
}

/** Copies the memory, and ends everything. */
async function sendMemory(
  qmp: QmpClient,
  outgoing: Outgoing,
  { bytesPerSecond }: SendOrder,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  const until = async (wanted: string) => {
    const reached = async () => {
      const { status, ram, error, done, total } = await look(qmp, signal);
      if (ram && ram.total > 0) report.of(done + ram.total - ram.remaining, total + ram.total);
      if (status === wanted) return true;
      if (status === undefined || UNDER_WAY.has(status)) return undefined;
      throw new DriverError('command_failed', `QEMU could not send its memory: ${error ?? status}`);
    };
    await follow(qmp, EVENTS, reached, signal);
  };
  await outgoing.prepare('memory', signal);
  await setLive(qmp, true);
  await qmp.execute('migrate-set-parameters', {
    'max-bandwidth': bytesPerSecond || BANDWIDTH,
    'downtime-limit': DOWNTIME_MS,
  });
  signal.throwIfAborted();
  await qmp.execute('migrate', { uri: `unix:${FILES.outgoing}` });
  await until('pre-switchover');
  await completeMirrors(qmp);
  signal.throwIfAborted();
  await qmp.execute('migrate-continue', { state: 'pre-switchover' });
  await until('completed');
}

async function look(qmp: QmpClient, signal: AbortSignal) {
  signal.throwIfAborted();
  const jobs = await lookAtMirrors(qmp);
  const { status, ram, 'error-desc': error } = await qmp.execute('query-migrate');
  signal.throwIfAborted();
  const sum = (key: 'current-progress' | 'total-progress') => jobs.reduce((all, job) => all + job[key], 0);
  return { jobs, status, ram, error, done: sum('current-progress'), total: sum('total-progress') };
}

/** Progress that never falls, although what is left to do may grow. */
interface Report {
  of(done: number, total: number): void;
  end(): void;
}

function reportTo({ onProgress }: JobControl): Report {
  let last = { done: 0, total: 0 };
  const of = (done: number, total: number) => {
    last = { done: Math.max(done, last.done), total: Math.max(total, last.total) };
    onProgress(last);
  };
  return { of, end: () => of(last.total, last.total) };
}
