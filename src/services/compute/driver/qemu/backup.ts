/**
 * Copying a boot disk into a standalone qcow2.
 *
 * A running guest: a `blockdev-backup` job inside its QEMU. Copy-before-write fixes the contents at the moment the job
 * starts; the guest is never stopped. A stopped one: `qemu-img convert`. Both write a partial file in the guest's own
 * folder, the only one that its QEMU can reach, and move it to the target at the end; afterwards there is a complete target,
 * or none, and neither job nor node is left in QEMU.
 *
 * Job and node names are constants: each guest has its own QEMU, and a name we know is how the leftovers of a killed
 * predecessor are found. Neither target nor job flushes: `blockdev-del` would otherwise sync gigabytes inside QEMU's main loop
 * and stall the guest's disk for that long. A backup that a host failure cut short is made again, so nothing is lost.
 */

import { copyFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { BackupResult, GuestSpec, JobControl } from '../driver.ts';
import { DriverError } from '../driver-error.ts';
import { disksDirOf, errorCode } from '../guest-files.ts';
import { readQcow2Header, writeEmptyQcow2 } from '../qcow2.ts';
import { diskChain, ROOT_NODE } from './argv.ts';
import { removeJob, removeNode, watchJob } from './block-job.ts';
import { readTail } from './console-log.ts';
import type { QmpClient } from './qmp/client.ts';
import type { JobInfo } from './qmp/commands.ts';
import type { Quiesce } from './quiesce.ts';
import { asUser, type RunAs } from './run-as.ts';
import { LENT, lend, takeBack } from './shared-files.ts';
import type { Spawner } from './spawner.ts';

const JOB = 'backup';
const TARGET_NODE = 'backup-target';
/** In the guest's folder; QEMU names it relative to that. */
const PARTIAL = 'backup.partial';
const PROGRESS_MS = 200;

/**
 * Few and middle-sized requests, chosen by measurement: 1 GiB of random data, 2 cores, TCG, QEMU 7.2, page cache, seconds
 * without host write-back stalls; "fsync" is the longest of a guest that writes and syncs 4 KiB every 5 ms meanwhile.
 *
 *   qemu-img convert of the same disk    0.41 to 0.55 s   fsync 27 to 106 ms
 *   QEMU's default (64 workers)          0.9 s            fsync 370 to 1030 ms
 *   8 × 1 MiB                            0.6 to 1.9 s     fsync 100 to 385 ms
 *   4 × 4 MiB                            0.4 to 0.7 s     fsync 62 to 97 ms
 *   2 × 1 MiB                            0.32 to 0.41 s   fsync 18 to 60 ms (17 to 65 without any backup)
 *   1 × 2 MiB                            0.34 to 0.45 s   fsync 52 to 89 ms
 *   target with O_DIRECT, or io_uring    0.6 to 2.9 s     fsync 150 to 745 ms
 *   any of them with flushes at the end  4 s              fsync 120 to 375 ms
 */
const PERF = { 'max-workers': 2, 'max-chunk': 1024 * 1024 };

/** For a helper that reads what guests and image authors wrote. */
const CONVERT_LIMITS = { addressSpaceMib: 2048, cpuSeconds: 3600 };

/** What to copy, and where to. */
export interface BackupOrder {
  /** The file of the guest's boot disk. */
  readonly disk: string;
  readonly target: string;
  /** Whom QEMU runs as, and who must therefore be able to write the partial file. */
  readonly user: RunAs | null;
}

/**
 * Copies the boot disk of a guest that has a process, with its file systems still at the moment the job starts if `quiesce`
 * does that. QMP: `blockdev-add`, `blockdev-backup`, `job-dismiss`, `blockdev-del`.
 */
export async function backupLive(
  qmp: QmpClient,
  order: BackupOrder,
  control: JobControl,
  quiesce: Quiesce,
): Promise<BackupResult> {
  await removeJobAndNode(qmp);
  const { running } = await qmp.execute('query-status');
  let quiesced = false;
  const copied = await toPartial(order, control, async (partial, virtualSizeBytes) => {
    await writeEmptyQcow2(partial, virtualSizeBytes, null);
    if (order.user) await lend(partial, order.user, LENT.toWrite);
    control.signal.throwIfAborted();
    try {
      await qmp.execute('blockdev-add', {
        driver: 'qcow2',
        'node-name': TARGET_NODE,
        discard: 'unmap',
        'detect-zeroes': 'unmap',
        cache: { 'no-flush': true },
        file: { driver: 'file', filename: PARTIAL, discard: 'unmap', cache: { 'no-flush': true } },
      });
      const begin = async () => {
        control.signal.throwIfAborted();
        await qmp.execute('blockdev-backup', {
          'job-id': JOB,
          device: ROOT_NODE,
          target: TARGET_NODE,
          sync: 'full',
          'auto-dismiss': false, // the outcome can be asked for even if its event was missed
          'x-perf': PERF,
        });
      };
      quiesced = await quiesce(begin, control.signal);
      const job = await followJob(qmp, control);
      if (job.error !== undefined) throw new DriverError('command_failed', `Backup of ${order.disk}: ${job.error}`);
    } finally {
      await removeJobAndNode(qmp);
    }
  });
  return { ...copied, live: running, quiesced };
}

/**
 * Copies the disk of a guest that does not run; it must stay so. Runs `qemu-img convert`, as QEMU's user: QEMU wrote the disk's
 * header, so nothing is opened because it says so.
 */
export async function backupStopped(
  spawner: Spawner,
  dir: string,
  spec: GuestSpec,
  order: BackupOrder,
  control: JobControl,
): Promise<BackupResult> {
  const copied = await toPartial(order, control, async (partial, virtualSizeBytes) => {
    const watch = new AbortController();
    let watching: Promise<void> = Promise.resolve();
    try {
      await writeEmptyQcow2(partial, virtualSizeBytes, null);
      if (order.user) await lend(partial, order.user, LENT.toWrite);
      const disk = `json:${JSON.stringify(diskChain(spec.disk, 0, dir, disksDirOf(dir, spec)))}`;
      const words = ['qemu-img', 'convert', '-p', '-O', 'qcow2', disk, PARTIAL];
      await spawner.run(order.user ? [...asUser(order.user), ...words] : words, {
        cwd: dir,
        limits: CONVERT_LIMITS,
        signal: control.signal,
        onStart: (output) => {
          watching = reportPercent(output, virtualSizeBytes, control, watch.signal);
        },
      });
    } finally {
      watch.abort();
      await watching;
    }
  });
  return { ...copied, live: false, quiesced: false };
}

/** The part both ways share: sizes, the partial file, errors, the final rename. */
async function toPartial(
  order: BackupOrder,
  control: JobControl,
  copy: (partial: string, virtualSizeBytes: number) => Promise<void>,
): Promise<Omit<BackupResult, 'live' | 'quiesced'>> {
  const partial = join(dirname(order.disk), PARTIAL);
  const header = await readQcow2Header(order.disk);
  if (!header) throw new DriverError('guest_not_found', `${order.disk} is missing or damaged`);
  if (header.externalDataFile) throw new DriverError('bad_base_image', `${order.disk} refers to another file`);
  const { virtualSizeBytes } = header;
  try {
    await rm(partial, { force: true });
    await copy(partial, virtualSizeBytes);
    control.signal.throwIfAborted();
    if (order.user) await takeBack(partial);
    await move(partial, order.target);
  } catch (error) {
    // "No file at target" also covers the result of an earlier call: a failed repeat must not look like a success.
    await Promise.all([partial, order.target, `${order.target}.partial`].map((path) => rm(path, { force: true })));
    if (control.signal.aborted) throw new DriverError('aborted', `Backup to ${order.target} ended`, { cause: error });
    throw error;
  }
  const { size } = await stat(order.target);
  control.onProgress({ done: virtualSizeBytes, total: virtualSizeBytes });
  return { sizeBytes: size, virtualSizeBytes };
}

/** Cancels the backup job and takes away its target node, as far as there are any. */
async function removeJobAndNode(qmp: QmpClient): Promise<void> {
  await removeJob(qmp, JOB);
  await removeNode(qmp, TARGET_NODE);
}

/** What an agent that was killed during a backup left behind: job and node in QEMU, the unfinished file in `dir`. */
export async function removeLeftovers(qmp: QmpClient, dir: string): Promise<void> {
  await removeJobAndNode(qmp);
  await rm(join(dir, PARTIAL), { force: true });
}

/** A rename, or where the target is on another file system a copy; complete or not there. */
async function move(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (errorCode(error) !== 'EXDEV') throw error;
    await copyFile(from, `${to}.partial`);
    await rename(`${to}.partial`, to);
    await rm(from, { force: true });
  }
}

/** Reports progress until the job has concluded, and returns how; throws the signal's reason when it fires. */
async function followJob(qmp: QmpClient, control: JobControl): Promise<JobInfo> {
  const job = await watchJob(
    qmp,
    JOB,
    (current) => {
      control.signal.throwIfAborted();
      if (current) control.onProgress({ done: current['current-progress'], total: current['total-progress'] });
      return !current || current.status === 'concluded';
    },
    control.signal,
  );
  if (!job) throw new DriverError('command_failed', 'The backup job was removed by somebody else');
  return job;
}

/** `qemu-img -p` rewrites one line, `    (12.34/100%)`; it has no other interface for progress. */
async function reportPercent(output: string, total: number, control: JobControl, end: AbortSignal): Promise<void> {
  const ended = new Promise<void>((resolve) => end.addEventListener('abort', () => resolve(), { once: true }));
  while (!end.aborted) {
    const percent = [...(await readTail(output, 200)).matchAll(/\(([\d.]+)\/100%\)/g)].at(-1)?.[1];
    if (percent !== undefined) control.onProgress({ done: Math.round((total * Number(percent)) / 100), total });
    await Promise.race([ended, delay(PROGRESS_MS)]);
  }
}
