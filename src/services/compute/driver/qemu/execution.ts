/**
 * Making a guest execute, whatever it did before, and putting it aside with its memory.
 *
 * What holds the guest may be a process, a memory file, or for a moment both; `isSuspended` is the rule for that. Everything here
 * needs the guest's lock.
 */

import type { GuestId, GuestNic, GuestSpec, JobControl } from '../driver.ts';
import { DriverError } from '../driver-error.ts';
import { qemuArgv } from './argv.ts';
import { takeOver } from './arrival.ts';
import { damageOf } from './disks.ts';
import { RunningGuest } from './guest.ts';
import type { Guests } from './guests.ts';
import { startedArgv } from './handle.ts';
import { type Accelerator, boot, type LaunchTools } from './launch.ts';
import { dropMemory, hasMemory, restoreMemory, saveMemory } from './memory.ts';
import { cancelMigration } from './migration.ts';
import { dropMove } from './move-note.ts';
import { announce, inFreeSlot, plugNic, slotted, unplugNic, withNics } from './nics.ts';
import { forgetFreeze } from './quiesce.ts';
import type { RunAs } from './run-as.ts';
import { writeSpec } from './specification.ts';

/** What this needs of the driver. */
export interface ExecutionHost {
  readonly user: RunAs | null;
  /** See `QemuDriverOptions`. */
  readonly moveBytesPerSecond: number;
  accelerator(): Promise<Accelerator>;
  tools(id: GuestId): LaunchTools;
  /** Hands the work a signal which fires when the guest is destroyed. */
  untilDestroyed<T>(id: GuestId, work: (signal: AbortSignal) => Promise<T>): Promise<T>;
  /** A guest goes on after a pause, or with its memory back, and with everything that was going on in it. */
  onContinued(id: GuestId, dir: string): void;
  warn(id: GuestId, error: unknown, message: string): void;
}

/** See the head of this file. */
export class Execution {
  readonly #guests: Guests;
  readonly #host: ExecutionHost;

  constructor(guests: Guests, host: ExecutionHost) {
    this.#guests = guests;
    this.#host = host;
  }

  /** What `start` promises. */
  async execute(spec: GuestSpec): Promise<void> {
    const { id } = spec;
    const dir = this.#guests.dir(id);
    const guest = await this.#guests.find(id);
    const arrived = await this.#takeOver(id, guest);
    const state = guest && (await guest.doing()).state;
    if (state === 'running') return;
    if (await hasMemory(dir)) {
      // A process beside a complete file has handed its disks over, or was to read it and did not go on.
      await this.#requireFiles(spec, dir);
      await this.#guests.end(id);
      await this.#continue(spec, dir);
    } else if (guest && state === 'paused') {
      await cancelMigration(guest.qmp);
      await dropMove(dir);
      // One that has come from another host, or whose start was cut short, is on no network yet.
      await this.#host.tools(id).network.join(spec.nics, { arrived });
      await guest.resume();
      await announce(guest.qmp);
      await dropMemory(dir);
      this.#host.onContinued(id, dir);
    } else if (guest && state === 'stopped') {
      await forgetFreeze(dir);
      await guest.bootAgain();
    } else {
      await this.#requireFiles(spec, dir);
      await this.#guests.end(id);
      await dropMove(dir);
      await forgetFreeze(dir);
      const launched = await boot(dir, spec, await this.#host.accelerator(), this.#host.tools(id));
      this.#guests.adopt(id, new RunningGuest(dir, launched));
    }
  }

  async #continue(spec: GuestSpec, dir: string): Promise<void> {
    const guest = await this.#host.untilDestroyed(spec.id, async (signal) => {
      const launched = await restoreMemory(dir, spec, this.#host.tools(spec.id), signal);
      return this.#guests.adopt(spec.id, new RunningGuest(dir, launched));
    });
    await dropMemory(dir);
    await guest.resume();
    await announce(guest.qmp);
    this.#host.onContinued(spec.id, dir);
  }

  /** What `pause` promises. */
  async pause(id: GuestId): Promise<void> {
    const guest = await this.living(id, 'Pause');
    await this.#takeOver(id, guest);
    await dropMove(this.#guests.dir(id));
    await guest.pause();
  }

  /** One that has come from another host becomes a guest like others; answers whether it was such a one. */
  async #takeOver(id: GuestId, guest: RunningGuest | null): Promise<boolean> {
    return guest !== null && (await takeOver(guest.qmp, this.#guests.dir(id)));
  }

  /** What `suspend` promises. */
  async suspend(spec: GuestSpec, control: JobControl): Promise<void> {
    const { id } = spec;
    const dir = this.#guests.dir(id);
    const guest = await this.#guests.find(id);
    if (await this.isSuspended(dir, guest)) return this.#guests.end(id);
    const living = await this.living(id, 'Suspend');
    await dropMemory(dir);
    const ran = (await living.doing()).state === 'running';
    const { network } = this.#host.tools(id);
    const started = await startedArgv(dir);
    const argv = started
      ? withNics(started, spec.nics, network)
      : qemuArgv(spec, await this.#host.accelerator(), dir, network);
    let total = 0;
    const onProgress: JobControl['onProgress'] = (progress) => {
      total = progress.total;
      control.onProgress(progress);
    };
    control.signal.throwIfAborted();
    try {
      await living.pause();
      await saveMemory(living.qmp, dir, { spec, argv, user: this.#host.user }, { ...control, onProgress });
    } catch (error) {
      if (ran) await living.resume().catch((cause: unknown) => this.#host.warn(id, cause, 'a guest stayed paused'));
      throw error;
    }
    await this.#guests.end(id);
    control.onProgress({ done: total, total });
  }

  /** What `plug` promises. */
  async plug(spec: GuestSpec, nic: GuestNic): Promise<void> {
    const { guest, dir } = await this.#withCards(spec.id, 'Plug');
    const nics = slotted(spec.nics);
    const known = nics.find(({ mac }) => mac === nic.mac);
    const card = known ?? inFreeSlot(nic, nics);
    const { network } = this.#host.tools(spec.id);
    if (!known) await writeSpec(dir, { ...spec, nics: [...nics, card] });
    if (guest) await plugNic(guest.qmp, card, network);
  }

  /** What `unplug` promises. */
  async unplug(spec: GuestSpec, mac: string, signal: AbortSignal): Promise<void> {
    const { guest, dir } = await this.#withCards(spec.id, 'Unplug');
    const nics = slotted(spec.nics);
    const card = nics.find((nic) => nic.mac === mac);
    if (!card) return;
    if (guest) await unplugNic(guest.qmp, card, signal);
    await this.#host.tools(spec.id).network.release([card]);
    await writeSpec(dir, { ...spec, nics: nics.filter((nic) => nic !== card) });
  }

  /** The guest, if it has a process, in a state in which its cards may change. */
  async #withCards(id: GuestId, what: string): Promise<{ readonly guest: RunningGuest | null; readonly dir: string }> {
    const dir = this.#guests.dir(id);
    const guest = await this.#guests.find(id);
    if (await this.isSuspended(dir, guest)) throw notRunning(id, what, 'suspended');
    return { guest, dir };
  }

  /** A process beside the file does not count, unless it runs on: then the file is what somebody left behind. */
  async isSuspended(dir: string, guest: RunningGuest | null): Promise<boolean> {
    if (!(await hasMemory(dir))) return false;
    return guest === null || (await guest.doing()).state !== 'running';
  }

  /** The guest, running or paused, or `not_running`. */
  async living(id: GuestId, what: string): Promise<RunningGuest> {
    const guest = await this.#guests.find(id);
    const { state } = await this.#guests.status(id);
    if (guest && (state === 'running' || state === 'paused')) return guest;
    throw notRunning(id, what, state);
  }

  /** The guest, running, or `not_running`. */
  async executing(id: GuestId, what: string): Promise<RunningGuest> {
    const guest = await this.living(id, what);
    const { state } = await guest.doing();
    if (state === 'running') return guest;
    throw notRunning(id, what, state);
  }

  /** For what needs the files to itself. A process that is good for nothing is ended. */
  async requireStopped(id: GuestId, what: string): Promise<void> {
    const { state } = await this.#guests.status(id);
    if (state !== 'stopped' && state !== 'crashed')
      throw new DriverError('command_failed', `${what} of guest ${id}: it must be stopped, and is ${state}`);
    if (await this.#guests.find(id)) await this.#guests.end(id);
  }

  async #requireFiles(spec: GuestSpec, dir: string): Promise<void> {
    const damage = await damageOf(dir, spec, { hasProcess: false });
    if (damage) throw new DriverError('guest_damaged', `Start of guest ${spec.id}: ${damage}`);
  }
}

function notRunning(id: GuestId, what: string, state: string): DriverError {
  return new DriverError('not_running', `${what} of guest ${id}: it is ${state}`);
}
