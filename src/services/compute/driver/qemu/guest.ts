/**
 * A QEMU that this process is attached to: its process, its QMP connection, and the news of its end and of its halts.
 *
 * The end is noticed by the connection's end. QEMU says why it shuts down in a `SHUTDOWN` event just before; without one, it
 * died. What was asked for through this object is not news.
 */

import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { GuestState } from '../driver.ts';
import { DriverError } from '../driver-error.ts';
import { FILES } from './argv.ts';
import { PID_FILE } from './handle.ts';
import { describeExit, killProcess, type Launched } from './launch.ts';
import { type ProcessId, waitForExit } from './process.ts';
import { QmpClient, type QmpObserver } from './qmp/client.ts';
import { isQmpError, QmpGoneError } from './qmp/errors.ts';
import { readShort } from './shared-files.ts';

/** A live QEMU greets at once; one that another client holds, or that hangs, never does. */
const ATTACH_TIMEOUT_MS = 10_000;
/** Between closing its sockets and being gone QEMU flushes its disks. */
const LAST_BREATH_MS = 30_000;
/** A guest that is still booting ignores the power button, so it is pressed again. */
const POWERDOWN_REPEAT_MS = 10_000;
const QUIT_TIMEOUT_MS = 5_000;
const STATUS_POLL_MS = 5;
/** The shell reports an exit status right after the process is gone; without a shell there is none. */
const STATUS_PATIENCE_MS = 200;

/** How a guest's process ended. */
export interface GuestEnd {
  readonly state: Extract<GuestState, 'stopped' | 'crashed'>;
  readonly reason: string;
}

/** What a guest with a process does. `stopped` and `crashed`: the process is only good for being ended, or for another boot. */
export interface Doing {
  readonly state: Extract<GuestState, 'running' | 'paused' | 'stopped' | 'crashed'>;
  readonly reason?: string;
}

/** QEMU's run states in which something other than a pause holds the processors. */
const HALTS: Readonly<Record<string, Doing>> = {
  shutdown: { state: 'stopped' },
  'guest-panicked': { state: 'crashed', reason: 'the guest panicked' },
  'internal-error': { state: 'crashed', reason: 'QEMU met an error it cannot go on after' },
  inmigrate: { state: 'crashed', reason: 'its memory was not read to the end' },
};

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
  /** Orders under way that make the processors stop or go. */
  #orders = 0;
  #onTurn: () => void = () => {};
  #wakeReboot: () => void = () => {};
  readonly #hurry = new AbortController();

  constructor(dir: string, launched: Launched) {
    this.#dir = dir;
    this.process = launched.process;
    this.qmp = launched.qmp;
    this.#exited = launched.exited;
    this.qmp.onEvent(({ event, data }) => {
      if (event === 'SHUTDOWN') {
        this.#shutdown = { guest: data.guest === true, reason: String(data.reason) };
        this.#wakeReboot();
      }
      // On its way out it stops, too.
      if ((event === 'STOP' || event === 'RESUME') && this.#orders === 0 && !this.#shutdown) this.#onTurn();
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
      const guest = new RunningGuest(dir, { process, qmp, exited: Promise.resolve(null) });
      // A reboot may have been cut short, which waits for the guest's power-off with the process kept.
      if ((await guest.doing()).state !== 'stopped') await qmp.execute('set-action', { shutdown: 'poweroff' });
      return guest;
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

  /** Calls `listener` whenever the processors stop or go, and nobody ordered that here. */
  onTurn(listener: () => void): void {
    this.#onTurn = listener;
  }

  /** What it does now. QMP: `query-status`, `query-block`. Any pause that has no name of its own is `paused`, `prelaunch` included. */
  async doing(): Promise<Doing> {
    const { status, running } = await this.qmp.execute('query-status');
    if (running) return { state: 'running' };
    const halt = HALTS[status];
    if (halt) return halt;
    if (status !== 'io-error') return { state: 'paused' };
    const full = (await this.qmp.execute('query-block')).some((device) => device['io-status'] === 'nospace');
    const reason = full ? 'the host has no space left for its disk' : 'the host could not read or write its disk';
    return { state: 'paused', reason };
  }

  /** Lets the processors run after a pause. Running already: nothing. QMP: `cont`. */
  async resume(): Promise<void> {
    await this.#order(async () => {
      if ((await this.doing()).state === 'paused') await this.qmp.execute('cont');
    });
  }

  /** Stops the processors. Stopped already: nothing. QMP: `stop`. */
  async pause(): Promise<void> {
    await this.#order(async () => {
      const { status, running } = await this.qmp.execute('query-status');
      // Its disks were handed over at the end of a migration, and only `cont` takes them back.
      if (status === 'postmigrate') await this.qmp.execute('cont');
      if (status === 'postmigrate' || running) await this.qmp.execute('stop');
    });
  }

  /**
   * Power button, wait, then `quit`, then SIGKILL; resolves when the process is gone. Rejects with the signal's reason when that
   * fires during the wait, with the guest running on.
   */
  async stop(graceMs: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.#expected = true;
    const interrupt = signal ? AbortSignal.any([signal, this.#hurry.signal]) : this.#hurry.signal;
    const deadline = Date.now() + graceMs;
    try {
      const canListen = graceMs > 0 && (await this.doing()).state === 'running';
      for (let leftMs = graceMs; canListen && leftMs > 0 && !interrupt.aborted; leftMs = deadline - Date.now()) {
        await this.qmp.execute('system_powerdown');
        if (await this.#endsWithin(Math.min(leftMs, POWERDOWN_REPEAT_MS), interrupt)) return;
      }
      if (signal?.aborted && !this.#hurry.signal.aborted) {
        this.#expected = false;
        throw signal.reason;
      }
      await this.qmp.execute('quit');
      if (await this.#endsWithin(QUIT_TIMEOUT_MS)) return;
    } catch (error) {
      const known = isQmpError(error);
      if (!known) throw error; // these three just mean that asking did not help
    }
    await this.kill();
  }

  /**
   * Power button, wait for the guest's power-off, and boot it in the same process. False, with the guest running, when it did
   * not power off in time. Rejects with the signal's reason when that fires during the wait.
   */
  async reboot(graceMs: number, signal?: AbortSignal): Promise<boolean> {
    signal?.throwIfAborted();
    const interrupt = signal ? AbortSignal.any([signal, this.#hurry.signal]) : this.#hurry.signal;
    const deadline = Date.now() + graceMs;
    await this.qmp.execute('set-action', { shutdown: 'pause' });
    try {
      for (let leftMs = graceMs; leftMs > 0 && !interrupt.aborted; leftMs = deadline - Date.now()) {
        await this.qmp.execute('system_powerdown');
        await this.#powersOffWithin(Math.min(leftMs, POWERDOWN_REPEAT_MS), interrupt);
        if (this.#shutdown) break;
      }
    } finally {
      if (this.#connected) await this.qmp.execute('set-action', { shutdown: 'poweroff' });
    }
    // Looked at after that: from here on a power-off ends the process as ever.
    if (this.#shutdown) {
      await this.bootAgain();
      return true;
    }
    signal?.throwIfAborted();
    if (!this.#connected) throw new QmpGoneError('QEMU ended before the guest rebooted');
    return false;
  }

  /** Boots a guest that has powered off while its process was kept. QMP: `system_reset`, `cont`. */
  async bootAgain(): Promise<void> {
    await this.#order(async () => {
      await this.#statusBecomes((status) => status === 'shutdown');
      await this.qmp.execute('set-action', { shutdown: 'poweroff' });
      await this.qmp.execute('system_reset');
      await this.#statusBecomes((status) => status !== 'shutdown');
      this.#shutdown = undefined;
      await this.qmp.execute('cont');
    });
  }

  /** Cuts short a patient `stop` or `reboot` that is under way: somebody stronger wants it gone. */
  hurry(): void {
    this.#hurry.abort();
  }

  /** SIGKILL; resolves when the process is gone. */
  async kill(): Promise<void> {
    this.#expected = true;
    await killProcess(this.process);
    this.qmp.close();
  }

  /** Works on something during which the processors may stop or go without that being news. */
  unheard<T>(work: () => Promise<T>): Promise<T> {
    return this.#order(work);
  }

  /** The turns of the processors meanwhile are no news. */
  async #order<T>(work: () => Promise<T>): Promise<T> {
    this.#orders += 1;
    try {
      return await work();
    } finally {
      this.#orders -= 1;
    }
  }

  /** Has no event of its own. Rejects with a QMP error when QEMU goes meanwhile. */
  async #statusBecomes(wanted: (status: string) => boolean): Promise<void> {
    const deadline = Date.now() + QUIT_TIMEOUT_MS;
    while (!wanted((await this.qmp.execute('query-status')).status)) {
      if (Date.now() > deadline)
        throw new DriverError('command_failed', 'QEMU does not come to the state it was told to');
      await delay(STATUS_POLL_MS);
    }
  }

  async #powersOffWithin(ms: number, interrupt: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wakeReboot = resolve;
    if (this.#shutdown) resolve();
    await within(ms, interrupt, Promise.race([promise, this.qmp.closed]));
  }

  async #endsWithin(ms: number, interrupt?: AbortSignal): Promise<boolean> {
    const gone = this.qmp.closed.then(() => waitForExit(this.process, QUIT_TIMEOUT_MS));
    return (await within(ms, interrupt, gone)) ?? false;
  }

  async #explainEnd(): Promise<GuestEnd | null> {
    if (!(await waitForExit(this.process, this.#shutdown ? LAST_BREATH_MS : QUIT_TIMEOUT_MS))) return null;
    if (this.#shutdown) return fromShutdown(this.#shutdown);
    const exit = await Promise.race([this.#exited, delay(STATUS_PATIENCE_MS, null)]);
    const orderly = (await readShort(join(this.#dir, PID_FILE), 1)) === null;
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

/** The answer if it comes within the time and before the signal; null otherwise. */
async function within<T>(ms: number, signal: AbortSignal | undefined, answer: Promise<T>): Promise<T | null> {
  const timer = new AbortController();
  const over = signal ? AbortSignal.any([timer.signal, signal]) : timer.signal;
  const late = delay(ms, null, { signal: over }).catch(() => null); // rejects only by those two
  try {
    return await Promise.race([answer, late]);
  } finally {
    timer.abort();
  }
}
