/**
 * Starts programs without ever forking Node.
 *
 * Node's own spawn() blocks the event loop in proportion to the process' memory (it copies page tables), so one small
 * shell is started early and does all the forking. It is fed one line per program on stdin and reports on stdout:
 * `<job> pid <pid>` and `<job> exit <status>`. When Node dies, however it dies, the shell reads end of file and ends every
 * helper program in its process group; guests are started with `setsid` and therefore stay.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DriverError } from '../driver-error.ts';
import { unlinkIfThere } from '../guest-files.ts';
import { readTail } from './console-log.ts';

/** Reads one command per line; after end of file nobody is left to report to, so the whole group ends. */
const SHELL_PROGRAM = `while IFS= read -r line; do eval "$line"; done; trap '' TERM; kill -TERM 0`;
const ERROR_BYTES = 2000;
const OUTPUT_BYTES = 65536;

/** How a process ended: the shell's view, in which 128+n means signal n. */
export interface Exit {
  readonly status: number;
  /** Number of the signal that killed it, or null. */
  readonly signal: number | null;
}

/** A program that the shell started. */
export interface Started {
  readonly pid: number;
  /** Resolves when it ended; null when the shell itself is gone and nobody knows. Never rejects. */
  readonly exited: Promise<Exit | null>;
}

/** Ceilings for a program that reads untrusted data. */
export interface Limits {
  readonly addressSpaceMib: number;
  readonly cpuSeconds: number;
}

interface Job {
  readonly pid: PromiseWithResolvers<number>;
  readonly exit: PromiseWithResolvers<Exit | null>;
}

/** One shell and what it runs. Starts on first use, and again should it die. */
export class Spawner {
  #shell: ChildProcess | undefined;
  #jobs = new Map<number, Job>();
  #lastJob = 0;
  /** Calls that somebody awaits; detached programs do not count once they have a pid. */
  #awaited = 0;

  /** Starts the shell now, while Node is small, instead of at the first program. */
  warmUp(): void {
    this.#ensureShell();
  }

  /**
   * Runs a program to its end in `cwd` and resolves with what it printed (both streams, the last 64 KiB). Rejects with
   * `tool_failed` and the tail of its output when the status is not 0, with `aborted` when `signal` fired (the program is killed). `onStart` hears the path of its output.
   * `stdin` and `stdout` are files that it reads from and writes to instead; then the output is what it says of errors.
   */
  async run(
    argv: readonly string[],
    options: {
      cwd: string;
      limits?: Limits;
      signal?: AbortSignal;
      onStart?: (outputPath: string) => void;
      stdin?: string;
      stdout?: string;
    },
  ): Promise<string> {
    const { signal, limits, stdin = '/dev/null', stdout } = options;
    if (signal?.aborted) throw new DriverError('aborted', `${argv[0]} was not started`, { cause: signal.reason });
    const id = ++this.#lastJob;
    // Nobody who may write in the folder can have put a link there.
    const output = join(options.cwd, `tool-${randomUUID()}.log`);
    const ceilings = limits ? [`ulimit -v ${limits.addressSpaceMib * 1024}`, `ulimit -t ${limits.cpuSeconds}`] : [];
    const job = this.#submit(
      id,
      [
        `exec <${quote(stdin)} >${quote(output)} 2>&1`,
        ...(stdout === undefined ? [] : [`exec >${quote(stdout)}`]),
        `cd ${quote(options.cwd)}`,
        ...ceilings,
      ],
      argv,
    );
    let kill = () => {};
    const onAbort = () => kill();
    this.#hold(+1);
    try {
      const pid = await job.pid.promise;
      kill = () => {
        if (this.#jobs.has(id)) process.kill(pid, 'SIGKILL');
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      if (signal?.aborted) onAbort();
      options.onStart?.(output);
      const exit = await job.exit.promise;
      if (signal?.aborted) throw new DriverError('aborted', `${argv[0]} was ended`, { cause: signal.reason });
      if (exit?.status !== 0) {
        const how = exit === null ? 'vanished' : exit.signal ? `was killed by signal ${exit.signal}` : 'failed';
        throw new DriverError('tool_failed', `${argv[0]} ${how}: ${(await readTail(output, ERROR_BYTES)).trim()}`);
      }
      return await readTail(output, OUTPUT_BYTES);
    } finally {
      this.#hold(-1);
      signal?.removeEventListener('abort', onAbort);
      await unlinkIfThere(output);
    }
  }

  /** Starts a program that outlives Node, in its own session, appending its output to `cwd/log`. Resolves with its pid. */
  async detach(argv: readonly string[], options: { cwd: string; log: string }): Promise<Started> {
    const redirect = `exec </dev/null >>${quote(join(options.cwd, options.log))} 2>&1`;
    const job = this.#submit(++this.#lastJob, [redirect, `cd ${quote(options.cwd)}`], ['setsid', ...argv]);
    this.#hold(+1);
    try {
      return { pid: await job.pid.promise, exited: job.exit.promise };
    } finally {
      this.#hold(-1);
    }
  }

  /** Ends the shell and with it every helper program still running; detached programs stay. */
  async close(): Promise<void> {
    const shell = this.#shell;
    if (!shell || shell.exitCode !== null || shell.signalCode !== null) return;
    shell.ref();
    const exited = once(shell, 'exit');
    shell.stdin?.end();
    await exited;
  }

  #submit(id: number, preparations: readonly string[], argv: readonly string[]): Job {
    const command = [...preparations, `exec ${argv.map(quote).join(' ')}`].join(' && ');
    if (command.includes('\n')) throw new DriverError('bad_spec', 'A path or argument contains a line break');
    const shell = this.#ensureShell();
    const job: Job = { pid: Promise.withResolvers(), exit: Promise.withResolvers() };
    this.#jobs.set(id, job);
    // The inner background job is the program (exec), the outer one waits for it and reports.
    shell.stdin?.write(`{ ( ${command} ) & p=$!; echo "${id} pid $p"; wait $p; echo "${id} exit $?"; } &\n`);
    return job;
  }

  #ensureShell(): ChildProcess {
    if (this.#shell) return this.#shell;
    const shell = spawn('/bin/sh', ['-c', SHELL_PROGRAM], {
      detached: true, // its own process group, which `kill 0` at the end is about
      stdio: ['pipe', 'pipe', 'ignore'], // stderr: only "Killed" and the like, which the exit status says, too
      // Users' paths lack the folders of programs for administrators, which some of them may use all the same.
      env: { PATH: `${process.env.PATH ?? '/usr/bin:/bin'}:/usr/sbin:/sbin`, LC_ALL: 'C' },
    });
    this.#shell = shell;
    const gone = () => {
      if (this.#shell === shell) this.#shell = undefined;
      this.#loseJobs();
    };
    shell.once('error', gone);
    shell.once('exit', gone);
    shell.stdin.on('error', () => undefined); // EPIPE: `exit` follows and settles the jobs
    createInterface({ input: shell.stdout }).on('line', (line) => this.#report(line));
    this.#hold(0);
    return shell;
  }

  #report(line: string): void {
    const [id, what, value] = line.split(' ').map((word) => (/^\d+$/.test(word) ? Number(word) : word));
    const job = this.#jobs.get(Number(id));
    if (!job || typeof value !== 'number') return;
    if (what === 'pid') job.pid.resolve(value);
    if (what !== 'exit') return;
    job.exit.resolve({ status: value, signal: value > 128 ? value - 128 : null });
    this.#jobs.delete(Number(id));
  }

  #loseJobs(): void {
    for (const job of this.#jobs.values()) {
      job.pid.reject(new DriverError('tool_failed', 'The shell that starts programs is gone'));
      job.exit.resolve(null);
    }
    this.#jobs.clear();
  }

  /** The event loop must wait for programs that somebody awaits, but not for an idle shell. */
  #hold(change: number): void {
    this.#awaited += change;
    const shell = this.#shell;
    if (!shell) return;
    // Pipes of a child process are sockets; ChildProcess types them by their wider base.
    for (const each of [shell, shell.stdin as Socket | null, shell.stdout as Socket | null]) {
      if (this.#awaited > 0) each?.ref();
      else each?.unref();
    }
  }
}

/** A word for the shell, whatever characters it has. */
function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
