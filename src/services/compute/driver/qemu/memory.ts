/**
 * A guest's memory in a file.
 *
 * `own/memory.zst` is QEMU's migration stream, compressed; its presence is what makes a guest suspended. It appears by a rename
 * when it is complete and on the disk, and before the process is ended; it goes, for good, before the processors run again.
 * Killed in between there is a halted process and a complete file: the process is then the one to go. Beside it is the
 * command line (`own/memory.json`): only a QEMU with the same devices can read the stream, whatever our own words are by then.
 *
 * QEMU may start no programs (`-sandbox spawn=deny`), so we stand at the other end of its migration: it connects to a
 * socket of ours to write, and we to one of its own for reading back.
 */

import { once } from 'node:events';
import { createReadStream, createWriteStream, constants as FILE } from 'node:fs';
import { lstat, open, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { createZstdCompress, createZstdDecompress, constants as ZLIB } from 'node:zlib';
import type { GuestSpec, JobControl } from '../driver.ts';
import { DriverError } from '../driver-error.ts';
import { isMissing, unlinkIfThere } from '../guest-files.ts';
import { FILES } from './argv.ts';
import { type Launched, type LaunchTools, launch } from './launch.ts';
import { BANDWIDTH, cancelMigration, INCOMING, setLive, UNDER_WAY } from './migration.ts';
import { ownFolder, ownPath, readOwn, removeOwn, writeOwn } from './own-folder.ts';
import type { QmpClient } from './qmp/client.ts';
import { QmpCommandError } from './qmp/errors.ts';
import type { RunAs } from './run-as.ts';
import { connectUnix, type Expectation, expectConnection } from './unix-socket.ts';

const MEMORY = 'memory.zst';
const NOTE = 'memory.json';
const PARTIAL = 'memory.partial';

const MIB = 2 ** 20;
/** Screen, firmware and devices come on top of the memory. A QEMU that was taken over could send without end. */
const SURPLUS_MIB = 512;
const POLL_MS = 100;

/** Whether the guest's memory is in a file. */
export async function hasMemory(dir: string): Promise<boolean> {
  const path = await ownPath(dir, MEMORY);
  if (path === null) return false;
  try {
    return (await lstat(path)).isFile();
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** Forgets the memory, complete or not; on return that has reached the disk. None: nothing. */
export async function dropMemory(dir: string): Promise<void> {
  const path = await ownPath(dir, MEMORY);
  if (path === null) return;
  const had = await hasMemory(dir);
  await removeOwn(dir, MEMORY, NOTE, PARTIAL);
  if (had) await sync(dirname(path));
}

/** What to write beside the memory, and who writes it. */
export interface MemoryOrder {
  readonly spec: GuestSpec;
  /** With which the QEMU was started. */
  readonly argv: readonly string[];
  readonly user: RunAs | null;
}

/**
 * Writes the memory of a halted QEMU, which must stay halted. On return the file is complete; the process is useless and to
 * be ended. Rejects, with no file left and QEMU as it was, also by the signal.
 */
export async function saveMemory(qmp: QmpClient, dir: string, order: MemoryOrder, control: JobControl): Promise<void> {
  const { signal } = control;
  const own = await ownFolder(dir);
  const partial = join(own, PARTIAL);
  let progress = { done: 0, total: order.spec.memoryMib * MIB };
  const report = (done: number, total: number) => {
    progress = { done: Math.max(done, progress.done), total: Math.max(total, progress.total) };
    control.onProgress(progress);
  };
  const over = new AbortController();
  let expectation: Expectation | undefined;
  try {
    report(0, 0);
    signal.throwIfAborted();
    await cancelMigration(qmp);
    await unlinkIfThere(partial);
    const { spec, argv, user } = order;
    expectation = await expectConnection(join(dir, FILES.memory), user);
    const machine = await qmp.execute('qom-get', { path: '/machine', property: 'type' });
    await setLive(qmp, false);
    await qmp.execute('migrate-set-parameters', { 'max-bandwidth': BANDWIDTH });
    await qmp.execute('migrate', { uri: `unix:${FILES.memory}` });
    const ending = AbortSignal.any([signal, over.signal]);
    const limit = (spec.memoryMib + SURPLUS_MIB) * MIB;
    const orEnd = (error: unknown) => over.abort(error);
    await Promise.all([
      receive(expectation, partial, limit, ending).catch(orEnd),
      sent(qmp, report, ending).catch(orEnd),
    ]);
    ending.throwIfAborted();
    const note = { argv: withMachine(argv, String(machine).replace(/-machine$/, '')) };
    await writeOwn(dir, NOTE, JSON.stringify(note));
    await sync(join(own, NOTE));
    await rename(partial, join(own, MEMORY));
    await sync(own);
  } catch (error) {
    // The first failure is the cause; what it made fail in turn says little.
    const cause = over.signal.aborted ? over.signal.reason : error;
    await dropMemory(dir);
    await cancelMigration(qmp);
    if (signal.aborted) throw new DriverError('aborted', `Suspend of guest ${order.spec.id} ended`, { cause });
    if (cause instanceof DriverError || cause instanceof QmpCommandError || !(cause instanceof Error)) throw cause;
    throw new DriverError('command_failed', `Suspend of guest ${order.spec.id}: ${cause.message}`, { cause });
  } finally {
    await expectation?.close();
  }
}

/**
 * Starts a QEMU and gives it the memory back; its processors stand still. `start_failed` leaves the memory as it is, and no
 * process. What comes next: `dropMemory`, and only then `cont`.
 */
export async function restoreMemory(
  dir: string,
  spec: GuestSpec,
  tools: LaunchTools,
  signal: AbortSignal,
): Promise<Launched> {
  const path = await ownPath(dir, MEMORY);
  const note = await readOwn(dir, NOTE);
  if (path === null || note === null)
    throw new DriverError('start_failed', `Guest ${spec.id}: nothing says how its memory is to be read`);
  const { argv } = JSON.parse(note) as { argv: string[] }; // written by `saveMemory`
  return launch(dir, spec, [...argv, ...INCOMING], tools, async (qmp) => {
    await tools.network.join(spec.nics);
    await qmp.execute('migrate-incoming', { uri: `unix:${FILES.incoming}` });
    const socket = await connectUnix(join(dir, FILES.incoming));
    let failure: unknown;
    const fed = pipeline(createReadStream(path), createZstdDecompress(), socket, { signal }).catch((error: unknown) => {
      failure = error; // QEMU ends by itself when its stream does so too early
    });
    try {
      while ((await qmp.execute('query-status')).status === 'inmigrate') await delay(POLL_MS / 10);
      const { status } = await qmp.execute('query-migrate');
      if (status !== 'completed') throw failure ?? new Error(`the memory could not be read (${status})`);
    } finally {
      socket.destroy();
      await fed;
    }
  });
}

/** Writes what comes through the socket. */
async function receive(expectation: Expectation, partial: string, limit: number, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<never>();
  aborted.promise.catch(() => undefined); // nobody may be waiting any more
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  const socket = await Promise.race([expectation.connection, aborted.promise]);
  const file = createWriteStream(partial, { flags: 'wx', mode: 0o600, flush: true });
  let received = 0;
  const bounded = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      received += chunk.length;
      if (received > limit) done(new Error(`more than ${limit} bytes came`));
      else done(null, chunk);
    },
  });
  const compress = createZstdCompress({ params: { [ZLIB.ZSTD_c_compressionLevel]: 1 }, chunkSize: 256 * 1024 });
  try {
    await pipeline(socket, bounded, compress, file, { signal });
  } finally {
    socket.destroy();
    signal.removeEventListener('abort', onAbort);
    // Whoever removes the file must not be overtaken by its being made.
    if (!file.closed) await once(file, 'close');
  }
}

/** Follows a migration to its end, which must be a good one. */
async function sent(qmp: QmpClient, report: (done: number, total: number) => void, signal: AbortSignal): Promise<void> {
  for (let pauseMs = 5; ; pauseMs = Math.min(2 * pauseMs, POLL_MS)) {
    const { status, ram, 'error-desc': error } = await qmp.execute('query-migrate');
    signal.throwIfAborted();
    if (ram && ram.total > 0) report(ram.total - ram.remaining, ram.total);
    if (status === 'completed') return;
    if (status !== undefined && !UNDER_WAY.has(status))
      throw new DriverError('command_failed', `QEMU could not write its memory: ${error ?? status}`);
    await delay(pauseMs, undefined, { signal });
  }
}

/** The command line with the machine's very version instead of `q35`, which means another one in the next QEMU. */
function withMachine(argv: readonly string[], machine: string): string[] {
  const words = argv.slice(0, argv.at(-2) === INCOMING[0] ? -INCOMING.length : undefined);
  return words.map((word, index) => (words[index - 1] === '-machine' ? machine : word));
}

async function sync(path: string): Promise<void> {
  const file = await open(path, FILE.O_RDONLY);
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
