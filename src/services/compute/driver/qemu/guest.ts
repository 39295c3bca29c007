/**
 * A running QEMU that this process is attached to: its process, its QMP connection, and the news of its end.
 *
 * The end is noticed by the connection's end. QEMU says why it shuts down in a `SHUTDOWN` event just before; without one, it
 * died. An end that was asked for through this object is not news.
 */

import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { GuestState } from '../driver.ts';
import { readIfThere } from '../guest-files.ts';
import { FILES } from './argv.ts';
import { PID_FILE } from './handle.ts';
import { describeExit, killProcess, type Launched } from './launch.ts';
import { type ProcessId, waitForExit } from './process.ts';
import { QmpClient, type QmpObserver } from './qmp/client.ts';
import { QmpCommandError, QmpGoneError, QmpTimeoutError } from './qmp/errors.ts';

/** A live QEMU greets at once; one that another client holds, or that hangs, never does. */
const ATTACH_TIMEOUT_MS = 10_000;
/** Between closing its sockets and being gone QEMU flushes its disks. */
const LAST_BREATH_MS = 30_000;
/** A guest that is still booting ignores the power button, so it is pressed again. */
const POWERDOWN_REPEAT_MS = 10_000;
const QUIT_TIMEOUT_MS = 5_000;
/** The shell reports an exit status right after the process is gone; without a shell there is none. */
const STATUS_PATIENCE_MS = 200;

/** How a guest's process ended. */
export interface GuestEnd {
  readonly state: Extract<GuestState, 'stopped' | 'crashed'>;
  readonly reason: string;
}

/** See the head of this file. */
export class RunningGuest {
  readonly process: ProcessId;
  readonly qmp: QmpClient;
  /** Resolves when the process is gone (null: only the connection is; attach anew). Never rejects. */
  readonly ended: Promise<GuestEnd | null>;
  readonly #dir: string;
  readonly #exited: Launched['exited'];
  #shutdown: { guest: boolean; reason: string } | undefined;
  #expected = false;
  #connected = true;
  readonly #hurry = Promise.withResolvers<void>();
  #hurried = false;

  constructor(dir: string, launched: Launched) {
    this.#dir = dir;
    this.process = launched.process;
    this.qmp = launched.qmp;
    this.#exited = launched.exited;
    this.qmp.onEvent(({ event, data }) => {
      if (event === 'SHUTDOWN') this.#shutdown = { guest: data.guest === true, reason: String(data.reason) };
    });
    this.ended = this.qmp.closed.then(() => {
      this.#connected = false;
      return this.#explainEnd();
    });
  }

  /** Connects to a QEMU that an earlier process started. Rejects with a QMP error when it does not answer, or dies. */
  static async attach(dir: string, process: ProcessId, observe: QmpObserver): Promise<RunningGuest> {
    const death = new AbortController();
    const over = new AbortController();
    void waitForExit(process, ATTACH_TIMEOUT_MS, over.signal).then((gone) => {
      if (gone) death.abort(new QmpGoneError(`QEMU process ${process.pid} ended`));
    });
    try {
      const options = { timeoutMs: ATTACH_TIMEOUT_MS, observe, signal: death.signal };
      const qmp = await QmpClient.connect(join(dir, FILES.qmp), options);
      return new RunningGuest(dir, { process, qmp, exited: Promise.resolve(null) });
    } finally {
      over.abort();
    }
  }

  /** False as soon as the connection is gone, which is before `ended` tells why. */
  get connected(): boolean {
    return this.#connected;
  }

  /** True when the end of this guest was ordered through `stop` or `kill`. */
  get endIsExpected(): boolean {
    return this.#expected;
  }

  /** What it does now. QMP: `query-status`. A guest in whatever kind of pause is `paused`, `prelaunch` included. */
  async state(): Promise<'running' | 'paused'> {
    return (await this.qmp.execute('query-status')).running ? 'running' : 'paused';
  }

  /** Lets the processors run, whatever held them. Running already: nothing. QMP: `cont`. */
  async resume(): Promise<void> {
    if ((await this.state()) === 'paused') await this.qmp.execute('cont');
  }

  /** Power button, wait, then `quit`, then SIGKILL; resolves when the process is gone. */
  async stop(graceMs: number): Promise<void> {
    this.#expected = true;
    const deadline = Date.now() + graceMs;
    try {
      const canListen = graceMs > 0 && (await this.state()) === 'running';
      for (let leftMs = graceMs; canListen && leftMs > 0 && !this.#hurried; leftMs = deadline - Date.now()) {
        await this.qmp.execute('system_powerdown');
        if (await this.#endsWithin(Math.min(leftMs, POWERDOWN_REPEAT_MS), this.#hurry.promise)) return;
      }
      await this.qmp.execute('quit');
      if (await this.#endsWithin(QUIT_TIMEOUT_MS)) return;
    } catch (error) {
      const known = [QmpGoneError, QmpCommandError, QmpTimeoutError].some((kind) => error instanceof kind);
      if (!known) throw error; // these three just mean that asking did not help
    }
    await this.kill();
  }

  /** Cuts short the grace of a `stop` that is under way: somebody stronger wants it gone. */
  hurry(): void {
    this.#hurried = true;
    this.#hurry.resolve();
  }

  /** SIGKILL; resolves when the process is gone. */
  async kill(): Promise<void> {
    this.#expected = true;
    await killProcess(this.process);
    this.qmp.close();
  }

  async #endsWithin(ms: number, interrupt?: Promise<void>): Promise<boolean> {
    const timer = new AbortController();
    const late = delay(ms, false, { signal: timer.signal }).catch(() => false); // rejects only by our own abort
    const gone = this.qmp.closed.then(() => waitForExit(this.process, QUIT_TIMEOUT_MS));
    try {
      return await Promise.race([gone, late, ...(interrupt ? [interrupt.then(() => false)] : [])]);
    } finally {
      timer.abort();
    }
  }

  async #explainEnd(): Promise<GuestEnd | null> {
    if (!(await waitForExit(this.process, this.#shutdown ? LAST_BREATH_MS : QUIT_TIMEOUT_MS))) return null;
    if (this.#shutdown) return fromShutdown(this.#shutdown);
    const exit = await Promise.race([this.#exited, delay(STATUS_PATIENCE_MS, null)]);
    const orderly = (await readIfThere(join(this.#dir, PID_FILE))) === null;
    // QEMU removes its pid file when it exits by itself, never when it is killed.
    if (orderly && (exit === null || exit.status === 0)) return { state: 'stopped', reason: 'QEMU ended' };
    return { state: 'crashed', reason: describeExit(exit) };
  }
}

/** The event's reasons are QEMU's `ShutdownCause`. */
function fromShutdown({ guest, reason }: { guest: boolean; reason: string }): GuestEnd {
  if (reason === 'guest-panic') return { state: 'crashed', reason: 'the guest panicked' };
  if (guest) return { state: 'stopped', reason: 'guest powered off' };
  if (reason === 'host-signal') return { state: 'stopped', reason: 'QEMU was asked to end by a signal' };
  if (reason === 'host-error') return { state: 'crashed', reason: 'QEMU ended because of an error on the host' };
  return { state: 'stopped', reason: `QEMU was told to end (${reason})` };
}
