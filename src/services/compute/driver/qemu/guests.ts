/**
 * Which QEMUs this process is attached to, and what is true of each guest: found out from its files and its process, and told
 * when it changes by itself.
 */

import { join } from 'node:path';
import type { GuestEvent, GuestId, GuestStatus } from '../driver.ts';
import { guestDir, listGuestIds, readSpec } from '../guest-files.ts';
import { KeyedLock } from '../keyed-lock.ts';
import { FILES } from './argv.ts';
import { boundLog } from './console-log.ts';
import { damageOf } from './disks.ts';
import { type Doing, type GuestEnd, RunningGuest } from './guest.ts';
import { clearHandle, locate, writeHandle } from './handle.ts';
import { killProcess } from './launch.ts';
import { hasMemory } from './memory.ts';
import { type Move, readMove } from './move-note.ts';
import type { QmpObserver } from './qmp/client.ts';
import { isQmpError, QmpGoneError } from './qmp/errors.ts';

/** How often logs are looked at for growth. */
const LOG_CHECK_MS = 10_000;
/** Whoever only looks waits no longer for one who does something with the guest. */
const LOOK_PATIENCE_MS = 500;

/** Where the driver's few remarks go; the shape of pino and of console alike. */
export interface DriverLog {
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
}

/** What the guests need of their driver. */
export interface GuestsOptions {
  readonly instancesDir: string;
  readonly log: DriverLog | undefined;
  readonly observer: (id: GuestId) => QmpObserver;
  /** Called for each guest that is attached to after somebody else had started it, with its lock held. */
  readonly onAttached: (id: GuestId, guest: RunningGuest) => Promise<void>;
}

/** See the head of this file. */
export class Guests {
  /** One thing at a time per guest. Taken by whoever changes or attaches to one. */
  readonly locks = new KeyedLock();
  readonly #options: GuestsOptions;
  readonly #attached = new Map<GuestId, RunningGuest>();
  readonly #listeners = new Set<(event: GuestEvent) => void>();
  readonly #logTimer: NodeJS.Timeout;
  #closed = false;

  constructor(options: GuestsOptions) {
    this.#options = options;
    this.#logTimer = setInterval(() => void this.#boundLogs(), LOG_CHECK_MS).unref();
  }

  dir(id: GuestId): string {
    return guestDir(this.#options.instancesDir, id);
  }

  ids(): Promise<GuestId[]> {
    return listGuestIds(this.#options.instancesDir);
  }

  /** The guest if we are attached to it, which says nothing about its process. */
  attached(id: GuestId): RunningGuest | undefined {
    return this.#attached.get(id);
  }

  /**
   * The guest's QEMU, attached now if it was not; null when no process of it runs. Throws a QMP error for a process that
   * runs but does not answer. Needs the lock.
   */
  async find(id: GuestId): Promise<RunningGuest | null> {
    const known = this.#attached.get(id);
    if (known?.connected) return known;
    // It is ending, or only its connection is gone: what is true can be seen only once that is settled.
    await known?.ended;
    const dir = this.dir(id);
    const found = await locate(dir);
    if (found.at !== 'running') return null;
    let guest: RunningGuest;
    try {
      guest = await RunningGuest.attach(dir, found.process, this.#options.observer(id));
    } catch (error) {
      // It was just ending, as does a start of which somebody killed the first half.
      if (error instanceof QmpGoneError && (await locate(dir)).at !== 'running') return null;
      throw error;
    }
    this.adopt(id, guest);
    await this.#options.onAttached(id, guest);
    return guest;
  }

  /** Watches a QEMU from now on. */
  adopt(id: GuestId, guest: RunningGuest): RunningGuest {
    this.#attached.set(id, guest);
    guest.onTurn(() => void this.#onTurn(id, guest));
    void guest.ended
      .then((end) => this.#onEnd(id, guest, end))
      .catch((error: unknown) => {
        this.#options.log?.warn({ guest: id, err: error }, 'cannot note the end of a guest');
      });
    return guest;
  }

  /** Ends the guest's process, whatever it does, and forgets that there was one. Needs the lock. */
  async end(id: GuestId): Promise<void> {
    const dir = this.dir(id);
    await this.#attached.get(id)?.kill();
    this.forget(id);
    const found = await locate(dir);
    // By pid, not by QMP: a QEMU that does not answer must go just the same.
    if (found.at === 'running') await killProcess(found.process);
    await clearHandle(dir);
  }

  /** Watches it no more. */
  forget(id: GuestId): void {
    this.#attached.delete(id);
  }

  /** What it does now, as far as that can be told without waiting for one who does something with it. */
  inspect(id: GuestId): Promise<GuestStatus> {
    return this.#look(id, () => this.status(id));
  }

  /** What it does now. Needs the lock. */
  async status(id: GuestId): Promise<GuestStatus> {
    const dir = this.dir(id);
    const spec = await readSpec(dir);
    const guest = await this.#answering(id);
    if (!spec && !guest) return { id, state: 'absent' };
    const damage = spec && (await damageOf(dir, spec, { hasProcess: guest !== null }));
    return { id, ...(await this.#doing(dir, guest)), ...(damage && { damage }) };
  }

  /** The same for all of them, and as patiently; tells of what happened while nobody was attached. */
  async recover(): Promise<readonly GuestStatus[]> {
    const ids = await this.ids();
    const found = await Promise.all(ids.map((id) => this.#look(id, () => this.#recoverOne(id))));
    return found.filter((status) => status.state !== 'absent');
  }

  onEvent(listener: (event: GuestEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Tells nothing any more; `letGo` is for the end. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#logTimer);
  }

  /** Hangs up on all of them; they run on. */
  letGo(): void {
    for (const guest of this.#attached.values()) guest.qmp.close();
    this.#attached.clear();
  }

  async #look(id: GuestId, work: () => Promise<GuestStatus>): Promise<GuestStatus> {
    // A guest that is attached can be asked at any time, also while a `stop` waits for it.
    if (this.#attached.get(id)?.connected) return this.#glimpse(id);
    if (await this.locks.isFreeWithin(id, LOOK_PATIENCE_MS)) return this.locks.run(id, work);
    return this.#glimpse(id);
  }

  /** Changes nothing, attaches to nothing, and therefore needs no lock. */
  async #glimpse(id: GuestId): Promise<GuestStatus> {
    const dir = this.dir(id);
    const spec = await readSpec(dir);
    const known = this.#attached.get(id);
    const guest = known?.connected ? known : null;
    if (!spec && !guest) return { id, state: 'absent' };
    const isStranger = !guest && (await locate(dir)).at === 'running' && !(await hasMemory(dir));
    const damage = spec && (await damageOf(dir, spec, { hasProcess: isStranger || guest !== null }));
    return { id, ...(await this.#doing(dir, isStranger ? 'silent' : guest)), ...(damage && { damage }) };
  }

  /** The guest's QEMU; null without one, `silent` for one that does not answer. */
  async #answering(id: GuestId): Promise<RunningGuest | 'silent' | null> {
    try {
      return await this.find(id);
    } catch (error) {
      // Its process is there, so it is no crash; that it does not answer is for people to look at.
      if (!isQmpError(error)) throw error;
      this.#options.log?.warn({ guest: id, err: error }, 'QEMU does not answer');
      return (await locate(this.dir(id))).at === 'running' ? 'silent' : null;
    }
  }

  async #doing(dir: string, guest: RunningGuest | 'silent' | null): Promise<Omit<GuestStatus, 'id' | 'damage'>> {
    const move = await readMove(dir);
    const moved = guest !== null && move && reasonOf(move);
    if (guest === 'silent') return moved ? { state: 'paused', reason: moved } : { state: 'running' };
    let doing: Doing | null = null;
    try {
      doing = guest && (await guest.doing());
    } catch (error) {
      if (!isQmpError(error)) throw error;
      if ((await locate(dir)).at === 'running') return { state: 'running' };
    }
    if (doing?.state === 'running') return doing;
    if (doing && moved) return { state: 'paused', reason: moved };
    if (await hasMemory(dir)) return { state: 'suspended' };
    if (doing) return doing;
    const found = await locate(dir);
    if (found.at === 'lost') return { state: 'stopped', lostWithHost: true };
    if (found.at !== 'died') return { state: 'stopped' };
    return { state: 'crashed', ...(found.reason !== undefined && { reason: found.reason }) };
  }

  async #recoverOne(id: GuestId): Promise<GuestStatus> {
    const dir = this.dir(id);
    const found = await locate(dir);
    if (found.at !== 'running' && (await hasMemory(dir))) {
      // Its process was ended when its memory was safe, and nobody came to noting that.
      await clearHandle(dir);
    } else if (found.at === 'died' && found.reason === undefined) {
      const reason = 'QEMU died while nobody watched';
      await writeHandle(dir, { phase: 'crashed', process: null, reason });
      await this.#tell({ id, state: 'crashed', reason });
    } else if (found.at === 'exited') {
      await clearHandle(dir);
      await this.#tell({ id, state: 'stopped', reason: 'guest powered off while nobody watched' });
    }
    return this.status(id);
  }

  async #onEnd(id: GuestId, guest: RunningGuest, end: GuestEnd | null): Promise<void> {
    if (this.#attached.get(id) !== guest) return;
    this.#attached.delete(id);
    if (this.#closed || guest.endIsExpected) return;
    if (!end) {
      this.#options.log?.warn({ guest: id }, 'QMP connection lost, QEMU runs on');
      return;
    }
    await this.#tell({ id, ...end });
    // Written down for those who ask later, unless somebody started or destroyed the guest in the meantime.
    const dir = this.dir(id);
    await this.locks.run(id, async () => {
      const { at } = await locate(dir);
      if (at !== 'exited' && at !== 'died') return;
      if (end.state === 'crashed') await writeHandle(dir, { phase: 'crashed', process: null, reason: end.reason });
      else await clearHandle(dir);
    });
  }

  async #onTurn(id: GuestId, guest: RunningGuest): Promise<void> {
    try {
      const { state, reason } = await guest.doing();
      if (this.#closed || this.#attached.get(id) !== guest) return;
      const otherwise = state === 'running' ? 'somebody else let it go on' : 'somebody else paused it';
      await this.#tell({ id, state, reason: reason ?? otherwise });
    } catch (error) {
      // Its end is told as such.
      if (!isQmpError(error)) throw error;
    }
  }

  /** What becomes of a guest that has not come here yet, or has gone, is no news of it: it is somewhere else. */
  async #tell(event: GuestEvent): Promise<void> {
    const move = await readMove(this.dir(event.id));
    if (this.#closed || (move && reasonOf(move))) return;
    for (const listener of this.#listeners) listener(event);
  }

  async #boundLogs(): Promise<void> {
    const logs = [...this.#attached.keys()].flatMap((id) =>
      [FILES.consoleLog, FILES.qemuLog].map((log) => ({ id, log })),
    );
    await Promise.all(
      logs.map(({ id, log }) =>
        boundLog(join(this.dir(id), log)).catch((error: unknown) => {
          this.#options.log?.warn({ guest: id, log, err: error }, 'cannot shorten a log');
        }),
      ),
    );
  }
}

/** Why a guest with a process is no guest like others; null for one that is. */
function reasonOf(move: Move): string | null {
  if (move.to === 'here') return 'it comes from another host';
  return move.whole ? 'it has gone to another host' : null;
}
