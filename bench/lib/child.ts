/**
 * Programs beside the benchmark, each in a process of its own so that it is measured with its own event loop and memory.
 * Every one is ended by its pid before the benchmark ends, whatever happens in between.
 */
import { type ChildProcess, execFile, type SpawnOptions, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Where the sources are: the folder above `bench/`. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const running = new Set<ChildProcess>();

/** Remembers a process until it ends, so that `endAll` finds it. */
export function tracked(child: ChildProcess): ChildProcess {
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

/** Ends whatever still runs: for a benchmark that is interrupted. */
export async function endAll(): Promise<void> {
  await Promise.all([...running].map(ended));
}

export interface Child {
  readonly pid: number;
  /** The first line of its standard output: every program here prints one when it is ready. */
  readonly ready: string;
  end(): Promise<void>;
}

/** Starts a program and waits for its first line. Rejects with its error output when it ends before that. */
export async function startChild(
  program: string,
  args: readonly string[],
  options: Pick<SpawnOptions, 'cwd' | 'env'> = {},
): Promise<Child> {
  const child = tracked(spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] }));
  let errors = '';
  child.stderr?.on('data', (text: Buffer) => {
    errors = (errors + text).slice(-4000);
  });
  const ready = await new Promise<string>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`${program} ${args.join(' ')} ended: ${errors}`)));
    if (child.stdout) createInterface(child.stdout).once('line', resolve);
  });
  child.stdout?.resume();
  return { pid: child.pid ?? 0, ready, end: () => ended(child) };
}

/** Starts a script of `bench/processes/` under this same Node. */
export function startScript(name: string, args: readonly string[]): Promise<Child> {
  return startChild(process.execPath, [fileURLToPath(new URL(`../processes/${name}`, import.meta.url)), ...args]);
}

/** Runs a program to its end and answers its standard output; throws when it fails. */
export async function output(program: string, args: readonly string[], cwd?: string): Promise<string> {
  const { stdout } = await run(program, args, { maxBuffer: 64 * 2 ** 20, ...(cwd !== undefined && { cwd }) });
  return stdout;
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  const impatience = setTimeout(() => child.kill('SIGKILL'), 20_000);
  await exit;
  clearTimeout(impatience);
}
