/**
 * The note that lets a later Micronova find a running QEMU again, and the rule that decides what a folder's guest does.
 *
 * Order of a start: note `starting` → QEMU is spawned → note `started` with its pid and start time. Killed in between, the
 * note says "look for it", and the search goes through /proc by working folder. QEMU itself keeps `qemu.pid` and
 * removes it when it exits in an orderly way; that tells a guest which powered off while nobody looked from a QEMU that died.
 *
 * Whoever is named by the note is killed with our rights. It therefore lies where QEMU cannot write (`own/handle.json`), and the
 * process must look like this folder's QEMU as well. A note that an earlier Micronova left in the shared folder says no more than
 * how far it got: its process is searched for.
 */

import { realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isLasting, isMissing, readLasting, unlinkIfThere } from '../guest-files.ts';
import { readOwn, removeOwn, writeOwn } from './own-folder.ts';
import { bootId, describeProcess, identify, isAlive, listPids, type ProcessId } from './process.ts';
import { readShort } from './shared-files.ts';

const HANDLE_VERSION = 1;

/** Written by QEMU (`-pidfile`), relative to the guest's folder. */
export const PID_FILE = 'qemu.pid';
const PID_BYTES = 32;
const HANDLE_FILE = 'handle.json';
/** The shell becomes QEMU at once, but a busy host may take its time. */
const EXEC_PATIENCE_MS = 500;
const EXEC_POLL_MS = 10;

/** The content of `handle.json`. */
export interface Handle {
  readonly version: typeof HANDLE_VERSION;
  /** `crashed`: seen to have failed, although QEMU may have taken its pid file away. */
  readonly phase: 'starting' | 'started' | 'crashed';
  /** Null unless `started`. */
  readonly process: ProcessId | null;
  /** The boot of the host in which `process` means something. */
  readonly bootId: string;
  /** Of the command line, to see whether a running guest still has the one we would give it now. */
  readonly argvHash: string;
  /** The command line itself, for a later QEMU that is to have the same devices. */
  readonly argv?: readonly string[];
  /** Why it is `crashed`. */
  readonly reason?: string;
}

/**
 * Where a guest's process is. `exited`: QEMU ended in an orderly way since the last look; `lost`: it did not, because the host
 * went down; `died`: it did not for another reason, which is there once somebody has noted it.
 */
export type Whereabouts =
  | { readonly at: 'none' | 'exited' | 'lost' }
  | { readonly at: 'died'; readonly reason?: string | undefined }
  | { readonly at: 'running'; readonly process: ProcessId };

type Note = Pick<Handle, 'phase' | 'process'> & Partial<Pick<Handle, 'argvHash' | 'argv' | 'reason'>>;

/** Notes how far a start got, or that it went wrong later. */
export async function writeHandle(dir: string, note: Note): Promise<void> {
  const whole: Handle = { version: HANDLE_VERSION, bootId: await bootId(), argvHash: '', ...note };
  await writeOwn(dir, HANDLE_FILE, JSON.stringify(whole));
  await removeEarlier(dir);
}

/** The command line of the process that was started last; null when it was not noted. */
export async function startedArgv(dir: string): Promise<readonly string[] | null> {
  return (await readHandle(dir))?.argv ?? null;
}

/** Forgets the last process: from now on the guest counts as stopped. Idempotent. */
export async function clearHandle(dir: string): Promise<void> {
  // QEMU makes it, and a hostile one may have made anything else of that name.
  const pidFile = rm(join(dir, PID_FILE), { recursive: true, force: true });
  await Promise.all([removeOwn(dir, HANDLE_FILE), removeEarlier(dir), pidFile]);
}

/** Finds the QEMU of a guest's folder, whatever a killed predecessor left there. Changes nothing. */
export async function locate(dir: string): Promise<Whereabouts> {
  const [noted, pidText] = await Promise.all([readHandle(dir), readShort(join(dir, PID_FILE), PID_BYTES)]);
  const handle = noted ?? (await readEarlier(dir));
  if (handle === null && pidText === null) return { at: 'none' };
  // Without a note of ours anything may be false but what the processes say themselves.
  const running = noted === null ? await search(dir, pidText) : null;
  if (running) return running;
  if (handle?.phase === 'crashed') return { at: 'died', reason: handle.reason };
  if (handle && handle.bootId !== (await bootId())) {
    if (pidText !== null) return { at: 'lost' };
    return { at: handle.phase === 'started' ? 'exited' : 'none' };
  }
  if (noted?.process && (await isQemuOf(noted.process, dir))) return { at: 'running', process: noted.process };
  if (noted && noted.phase !== 'started') {
    const found = await search(dir, pidText);
    if (found) return found;
  }
  // Killed before QEMU ran: the guest never executed, so it neither exited nor died.
  if (handle?.phase !== 'started' && pidText === null) return { at: 'none' };
  return { at: pidText === null ? 'exited' : 'died' };
}

async function readHandle(dir: string): Promise<Handle | null> {
  const text = await readOwn(dir, HANDLE_FILE);
  return text === null ? null : parseHandle(text, dir);
}

/** Earlier it lay in the shared folder; whatever there could do harm is not believed. */
async function readEarlier(dir: string): Promise<Handle | null> {
  const text = await readLasting(dir, HANDLE_FILE);
  if (text === null) return null;
  const { version, phase, bootId, argvHash } = parseHandle(text, dir);
  return { version, phase, bootId, argvHash, process: null };
}

async function removeEarlier(dir: string): Promise<void> {
  if (await isLasting(dir, HANDLE_FILE)) await unlinkIfThere(join(dir, HANDLE_FILE));
}

function parseHandle(text: string, dir: string): Handle {
  // Written whole by ourselves; only the version can surprise.
  const handle = JSON.parse(text) as Handle;
  if (handle.version !== HANDLE_VERSION) {
    throw new Error(`${dir}/handle.json has version ${handle.version}; this Micronova knows ${HANDLE_VERSION}`);
  }
  return handle;
}

async function search(dir: string, pidText: string | null): Promise<Whereabouts | null> {
  const found = (await qemuAt(Number(pidText), dir)) ?? (await searchProcesses(dir));
  return found && { at: 'running', process: found };
}

async function searchProcesses(dir: string): Promise<ProcessId | null> {
  const found = await Promise.all((await listPids()).map((pid) => qemuAt(pid, dir)));
  return found.find((each) => each !== null) ?? null;
}

/** The process if it is the QEMU of this folder, also in the moment before the shell's last words became QEMU. */
async function qemuAt(pid: number, dir: string): Promise<ProcessId | null> {
  if (!(pid > 0)) return null;
  // Identity first: should the pid change hands meanwhile, its start time will not match any more.
  const process = await identify(pid);
  const description = process && (await describeProcess(pid));
  if (!description || description.cwd !== (await realFolder(dir))) return null;
  return isQemu(description.argv) ? process : null;
}

/** Whether this very process runs and can be the QEMU of the folder. */
async function isQemuOf(process: ProcessId, dir: string): Promise<boolean> {
  const deadline = Date.now() + EXEC_PATIENCE_MS;
  while (await isAlive(process)) {
    const description = await describeProcess(process.pid);
    // On its way out it has neither words nor folder left, but its files are open still.
    if (description && description.argv.length === 0) return true;
    const { cwd = null, argv = [] } = description ?? {};
    // Not everywhere may even root see the folders of other users' processes.
    if (isQemu(argv) && (cwd === null || cwd === (await realFolder(dir)))) return true;
    if (Date.now() > deadline) return false;
    await delay(EXEC_POLL_MS);
  }
  return false;
}

function isQemu(argv: readonly string[]): boolean {
  return argv.some((word) => word.includes('qemu-system')) && argv.includes(PID_FILE);
}

async function realFolder(dir: string): Promise<string | null> {
  try {
    return await realpath(dir);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}
