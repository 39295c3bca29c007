/**
 * The note that lets a later Micronova find a running QEMU again, and the rule that decides what a folder's guest does.
 *
 * Order of a start: note `starting` → QEMU is spawned → note `started` with its pid and start time. Killed in between, the
 * note says "look for it", and the search goes through /proc by working folder. QEMU itself keeps `qemu.pid` and
 * removes it when it exits in an orderly way; that tells a guest which powered off while nobody looked from a QEMU that died.
 */

import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { isMissing, readIfThere, unlinkIfThere, writeFileAtomic } from '../guest-files.ts';
import { bootId, describeProcess, identify, isAlive, listPids, type ProcessId } from './process.ts';
import { readShort } from './shared-files.ts';

const HANDLE_VERSION = 1;

/** Written by QEMU (`-pidfile`), relative to the guest's folder. */
export const PID_FILE = 'qemu.pid';
const PID_BYTES = 32;

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
}

/** Where a guest's process is. `exited`: QEMU ended in an orderly way since the last look; `died`: it did not. */
export type Whereabouts = { readonly at: 'none' | 'exited' | 'died' } | { readonly at: 'running'; process: ProcessId };

/** Notes how far a start got, or that it went wrong later. */
export async function writeHandle(dir: string, handle: Pick<Handle, 'phase' | 'process' | 'argvHash'>): Promise<void> {
  const whole: Handle = { version: HANDLE_VERSION, bootId: await bootId(), ...handle };
  await writeFileAtomic(join(dir, 'handle.json'), JSON.stringify(whole));
}

/** Forgets the last process: from now on the guest counts as stopped. Idempotent. */
export async function clearHandle(dir: string): Promise<void> {
  await Promise.all([unlinkIfThere(join(dir, 'handle.json')), unlinkIfThere(join(dir, PID_FILE))]);
}

/** Finds the QEMU of a guest's folder, whatever a killed predecessor left there. Changes nothing. */
export async function locate(dir: string): Promise<Whereabouts> {
  const [text, pidText] = await Promise.all([
    readIfThere(join(dir, 'handle.json')),
    readShort(join(dir, PID_FILE), PID_BYTES),
  ]);
  if (text === null && pidText === null) return { at: 'none' };
  const handle = text === null ? null : parseHandle(text, dir);
  if (handle?.phase === 'crashed') return { at: 'died' };
  const sameBoot = handle === null || handle.bootId === (await bootId());
  if (sameBoot && handle?.process && (await isAlive(handle.process))) return { at: 'running', process: handle.process };
  if (sameBoot && handle?.phase !== 'started') {
    const found = (await qemuAt(Number(pidText), dir)) ?? (await searchProcesses(dir));
    if (found) return { at: 'running', process: found };
    // Killed before QEMU ran: the guest never executed, so it neither exited nor died.
    if (pidText === null) return { at: 'none' };
  }
  return { at: pidText === null ? 'exited' : 'died' };
}

function parseHandle(text: string, dir: string): Handle {
  // Written whole by ourselves; only the version can surprise.
  const handle = JSON.parse(text) as Handle;
  if (handle.version !== HANDLE_VERSION) {
    throw new Error(`${dir}/handle.json has version ${handle.version}; this Micronova knows ${HANDLE_VERSION}`);
  }
  return handle;
}

async function searchProcesses(dir: string): Promise<ProcessId | null> {
  const found = await Promise.all((await listPids()).map((pid) => qemuAt(pid, dir)));
  return found.find((each) => each !== null) ?? null;
}

/** The process if it is the QEMU of this folder, also in the moment before the shell became QEMU. */
async function qemuAt(pid: number, dir: string): Promise<ProcessId | null> {
  if (!(pid > 0)) return null;
  // Identity first: should the pid change hands meanwhile, its start time will not match any more.
  const process = await identify(pid);
  const description = process && (await describeProcess(pid));
  if (!description || description.cwd !== (await realFolder(dir))) return null;
  const isQemu = description.argv.some((word) => word.includes('qemu-system')) && description.argv.includes(PID_FILE);
  return isQemu ? process : null;
}

async function realFolder(dir: string): Promise<string | null> {
  try {
    return await realpath(dir);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}
