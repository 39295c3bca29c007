/**
 * Processes that are not (or no longer) our children: known by pid AND start time, so that a recycled pid is never
 * mistaken for the old process nor signalled. A zombie counts as gone: in a container nobody may ever reap it.
 */

import { readdir, readFile, readlink } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { errorCode } from '../guest-files.ts';

/** One process for all time (until the host restarts, see `bootId`). */
export interface ProcessId {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks since the host started, kept as text. */
  readonly startTime: string;
}

/** Who runs as `pid` now; null when nobody does, or only a zombie. */
export async function identify(pid: number): Promise<ProcessId | null> {
  let stat: string;
  try {
    stat = await readFile(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return null; // ENOENT or ESRCH, depending on when it went; there is nobody in either case
  }
  // The name in parentheses may hold anything; fields are counted from the last parenthesis, which field 2 ends with.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const startTime = fields[19];
  if (fields[0] === 'Z' || fields[0] === 'X' || startTime === undefined) return null;
  return { pid, startTime };
}

/** Whether exactly this process still runs. */
export async function isAlive(process: ProcessId): Promise<boolean> {
  return (await identify(process.pid))?.startTime === process.startTime;
}

/** Sends a signal if exactly this process still runs; returns whether it was sent. */
export async function signalProcess(target: ProcessId, signal: NodeJS.Signals): Promise<boolean> {
  if (!(await isAlive(target))) return false;
  try {
    process.kill(target.pid, signal);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ESRCH') return false;
    throw error;
  }
}

/**
 * Waits until the process is gone; false when it still runs after `timeoutMs`, or when `signal` ended the wait. Polls: the
 * kernel has no event for us.
 */
export async function waitForExit(process: ProcessId, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  for (let pauseMs = 2; ; pauseMs = Math.min(pauseMs * 2, 100)) {
    if (!(await isAlive(process))) return true;
    const leftMs = deadline - Date.now();
    if (leftMs <= 0 || signal?.aborted) return false;
    await delay(Math.min(pauseMs, leftMs));
  }
}

let bootIdText: Promise<string> | undefined;

/** Changes with every start of the host; pids and start times of different boots must not be compared. */
export function bootId(): Promise<string> {
  bootIdText ??= readFile('/proc/sys/kernel/random/boot_id', 'latin1').then((text) => text.trim());
  return bootIdText;
}

/**
 * Working folder (null where it cannot be seen) and command line (empty once it is ending) of a process; null when it is gone or
 * belongs to somebody else.
 */
export async function describeProcess(pid: number): Promise<{ cwd: string | null; argv: string[] } | null> {
  try {
    const [cwd, commandLine] = await Promise.all([
      readlink(`/proc/${pid}/cwd`).catch(() => null),
      readFile(`/proc/${pid}/cmdline`, 'utf8'),
    ]);
    return { cwd, argv: commandLine === '' ? [] : commandLine.split('\0') };
  } catch {
    return null; // gone meanwhile, or not ours to look at: in both cases it is no guest of ours
  }
}

/** All pids of the host. */
export async function listPids(): Promise<number[]> {
  return (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
}
