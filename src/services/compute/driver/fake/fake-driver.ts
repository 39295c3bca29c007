/**
 * A hypervisor that only keeps books: for hundreds of hosts in one process, and for faults that no real one has on order.
 *
 * It obeys the same contracts as the QEMU driver (both pass `conformance.ts`): a running guest outlives the process,
 * every method may be repeated, and a backup is a real, valid, empty qcow2 of the right size.
 */

import { rename, rm, stat } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type {
  BackupResult,
  Capabilities,
  Driver,
  GuestEvent,
  GuestId,
  GuestNic,
  GuestSpec,
  GuestStatus,
  Inventory,
  JobControl,
  MoveOptions,
  MoveStream,
} from '../driver.ts';
import { DriverError } from '../driver-error.ts';
import { disksOf } from '../guest-files.ts';
import { KeyedLock } from '../keyed-lock.ts';
import { writeEmptyQcow2 } from '../qcow2.ts';
import { FakeConsoles } from './fake-consoles.ts';
import { FakeMoves, notHere, reasonOf } from './fake-moves.ts';
import { plug, reconfigure, revert, settle, unplug } from './fake-specification.ts';
import { type FakeRecord, type FakeState, type FakeStore, fileStore, memoryStore, NEW } from './fake-store.ts';
import { type FakeClock, type Fault, type FaultPoint, Faults } from './faults.ts';

const JOB_STEPS = 4;
const MIB = 2 ** 20;

const INVENTORY: Inventory = {
  vcpus: 64,
  memoryMib: 262_144,
  diskGib: 4096,
  hypervisorType: 'fake',
  hypervisorVersion: 1_000_000,
  cpuModel: 'fake',
  cpuArch: 'x86_64',
};

/** What each way of changing by itself is called. */
const EXITS = {
  crashed: 'the fake guest crashed',
  stopped: 'guest powered off',
  paused: 'the host has no space left for its disk',
} as const;

/** How a fake driver is made. */
export interface FakeDriverOptions {
  /** Made when missing. */
  readonly instancesDir: string;
  /** False: guests live in memory only and end with the process. Default true. */
  readonly persist?: boolean | undefined;
  readonly clock?: FakeClock | undefined;
  readonly faults?: Readonly<Record<GuestId | '*', Fault>> | undefined;
  readonly inventory?: Partial<Inventory> | undefined;
}

/** The port, and the strings that tests pull. */
export interface FakeDriver extends Driver {
  /** Sets, replaces or (null) clears the fault of one guest or of all (`*`). */
  setFault(id: GuestId | '*', fault: Fault | null): void;
  /** Whether a call hangs there that was told to. */
  isHanging(id: GuestId, point: FaultPoint): boolean;
  /** Ends or (`paused`) halts a running guest as if by itself and tells the listeners. Not running: nothing. */
  exit(id: GuestId, state: keyof typeof EXITS): Promise<void>;
  /** What a restart of the host does to a guest: one that ran or was paused is lost with it. */
  loseWithHost(id: GuestId): Promise<void>;
  /** The disks there are: name → what was written at their creation, which no two have in common. */
  disks(id: GuestId): Promise<Readonly<Record<string, string>>>;
  /** Takes a disk's file away. */
  loseDisk(id: GuestId, name: string): Promise<void>;
  /** The passwords that were set in this process: user → password. */
  passwords(id: GuestId): Readonly<Record<string, string>>;
}

/** Makes the driver. */
export function fakeDriver(options: FakeDriverOptions): FakeDriver {
  return new FakeDriverOnStore(options);
}

class FakeDriverOnStore implements FakeDriver {
  readonly name = 'fake';
  readonly #store: FakeStore;
  readonly #clock: FakeClock;
  readonly #faults: Faults;
  readonly #inventory: Inventory;
  readonly #locks = new KeyedLock();
  readonly #listeners = new Set<(event: GuestEvent) => void>();
  readonly #consoles = new FakeConsoles();
  readonly #moves: FakeMoves;
  readonly #passwords = new Map<GuestId, Record<string, string>>();

  constructor(options: FakeDriverOptions) {
    this.#store = options.persist === false ? memoryStore() : fileStore(options.instancesDir);
    this.#clock = options.clock ?? { delay: (ms, signal) => delay(ms, undefined, signal ? { signal } : {}) };
    this.#faults = new Faults(this.#clock);
    this.#moves = new FakeMoves(this.#store, this.#locks);
    this.#inventory = { ...INVENTORY, ...options.inventory };
    for (const [id, fault] of Object.entries(options.faults ?? {})) this.#faults.set(id, fault);
  }

  async capabilities(): Promise<Capabilities> {
    return { accelerator: 'none', liveBackup: true, liveMigration: true, maxMemoryMib: this.#inventory.memoryMib };
  }

  async inventory(): Promise<Inventory> {
    return this.#inventory;
  }

  async recover(): Promise<readonly GuestStatus[]> {
    const ids = await this.#store.ids();
    const found = await Promise.all(ids.map((id) => this.#status(id)));
    return found.filter((status) => status.state !== 'absent');
  }

  async inspect(id: GuestId): Promise<GuestStatus> {
    await this.#faults.meet(id, 'inspect');
    return this.#status(id);
  }

  create(spec: GuestSpec, { hasDisks = false } = {}): Promise<void> {
    const { id } = spec;
    return this.#alone(id, 'create', async () => {
      const before = await this.#store.read(id);
      if (before && isDeepStrictEqual(before.spec, spec)) return;
      // What a guest that exists already has lost is damage, and not for us to replace by an empty disk.
      const had = new Set(before ? disksOf(before.spec).map(({ name }) => name) : []);
      const damage = hasDisks ? await this.#damage({ ...NEW, spec }) : null;
      if (damage !== null) throw new DriverError('guest_damaged', damage);
      for (const disk of disksOf(spec)) if (!had.has(disk.name)) await this.#store.makeDisk(spec, disk);
      await this.#store.write(id, { ...(before ?? NEW), spec });
    });
  }

  async spec(id: GuestId): Promise<GuestSpec | null> {
    await this.#faults.meet(id, 'spec');
    return (await this.#store.read(id))?.spec ?? null;
  }

  start(id: GuestId): Promise<void> {
    return this.#alone(id, 'start', async () => this.#execute(await this.#required(id)));
  }

  async stop(id: GuestId, _graceMs: number, signal?: AbortSignal): Promise<void> {
    await this.#interruptibly(id, 'stop', signal);
    await this.#change(id, 'stopped');
  }

  async reboot(id: GuestId, graceMs: number, signal?: AbortSignal): Promise<boolean> {
    await this.#interruptibly(id, 'reboot', signal);
    return this.#locks.run(id, async () => {
      const record = await this.#here(id, 'Reboot');
      if (record.state !== 'running') await this.#execute(record);
      else if (graceMs === 0 || this.#faults.deaf(id)) return false;
      else await this.#store.appendConsole(id, `fake guest ${record.spec.name} rebooted\n`);
      return true;
    });
  }

  pause(id: GuestId): Promise<void> {
    return this.#alone(id, 'pause', async () => {
      const record = await this.#required(id);
      if (record.state === 'paused' && !record.move) return;
      if (!hasProcess(record)) throw notRunning(record, 'Pause');
      requireCome(record, 'Pause');
      await this.#store.write(id, { ...record, state: 'paused', reason: null, move: null });
    });
  }

  async suspend(id: GuestId, control: JobControl): Promise<void> {
    const asked = await this.#here(id, 'Suspend');
    if (asked.state === 'suspended') return;
    if (!hasProcess(asked)) throw notRunning(asked, 'Suspend');
    await this.#interruptibly(id, 'suspend', control.signal);
    const total = asked.spec.memoryMib * MIB;
    await this.#pass(id, total, control, 'Suspend');
    await this.#locks.run(id, async () => {
      const record = await this.#required(id);
      if (!hasProcess(record)) throw notRunning(record, 'Suspend');
      await this.#store.write(id, { ...record, state: 'suspended', reason: null });
      this.#consoles.end(id);
    });
    control.onProgress({ done: total, total });
  }

  reconfigure(spec: GuestSpec): Promise<void> {
    return this.#alone(spec.id, 'reconfigure', async () =>
      reconfigure(this.#store, await this.#here(spec.id, 'Reconfigure'), spec),
    );
  }

  settle(id: GuestId): Promise<void> {
    return this.#alone(id, 'settle', async () => settle(this.#store, await this.#store.read(id)));
  }

  revert(id: GuestId): Promise<void> {
    return this.#alone(id, 'revert', async () => revert(this.#store, await this.#store.read(id)));
  }

  plug(id: GuestId, nic: GuestNic): Promise<void> {
    return this.#alone(id, 'plug', async () => plug(this.#store, await this.#here(id, 'Plug'), nic));
  }

  async unplug(id: GuestId, mac: string, signal?: AbortSignal): Promise<void> {
    await this.#interruptibly(id, 'unplug', signal);
    await this.#locks.run(id, async () => unplug(this.#store, await this.#here(id, 'Unplug'), mac));
  }

  receive(spec: GuestSpec, options: MoveOptions = {}): Promise<void> {
    return this.#alone(spec.id, 'receive', () => this.#moves.receive(spec, options));
  }

  openIncoming(id: GuestId, stream: MoveStream): Promise<Duplex> {
    return this.#moves.openIncoming(id, stream);
  }

  async migrate(
    id: GuestId,
    open: (stream: MoveStream) => Promise<Duplex>,
    control: JobControl,
    options: MoveOptions = {},
  ): Promise<void> {
    const { spec } = await this.#required(id);
    await this.#interruptibly(id, 'migrate', control.signal);
    try {
      const pass = (total: number, own: JobControl) => this.#pass(spec.id, total, own, 'Migrate');
      await this.#moves.send(id, open, control, { ...options, pass });
    } catch (error) {
      throw control.signal.aborted ? aborted('Migrate', id, error) : error;
    }
  }

  async hurry(id: GuestId): Promise<void> {
    await this.#faults.meet(id, 'hurry');
    this.#moves.hurry(id);
  }

  destroy(id: GuestId): Promise<void> {
    return this.#alone(id, 'destroy', async () => {
      this.#moves.end(id);
      await this.#store.remove(id);
      this.#consoles.end(id);
      this.#passwords.delete(id);
    });
  }

  async backupDisk(
    id: GuestId,
    target: string,
    control: JobControl,
    options: { readonly quiesce?: 'required' } = {},
  ): Promise<BackupResult> {
    const partial = `${target}.partial`;
    try {
      await this.#interruptibly(id, 'backupDisk', control.signal);
      const { spec, state } = await this.#here(id, 'Backup');
      const quiesced = state === 'running' && spec.guestAgent;
      if (options.quiesce === 'required' && !quiesced && (state === 'running' || state === 'paused'))
        throw new DriverError('guest_agent', `Backup of guest ${id}: its file systems cannot be frozen`);
      const total = spec.disk.sizeBytes;
      await writeEmptyQcow2(partial, total, null);
      await this.#pass(id, total, control, 'Backup');
      // A guest destroyed meanwhile has no disk that could have been copied.
      await this.#required(id);
      await rename(partial, target);
      control.onProgress({ done: total, total });
      const { size } = await stat(target);
      return { sizeBytes: size, virtualSizeBytes: total, live: state === 'running', quiesced };
    } catch (error) {
      await Promise.all([rm(partial, { force: true }), rm(target, { force: true })]);
      throw error;
    }
  }

  setPassword(id: GuestId, user: string, password: string): Promise<void> {
    return this.#alone(id, 'setPassword', async () => {
      const record = await this.#here(id, 'Set password');
      if (record.state !== 'running') throw notRunning(record, 'Set password');
      if (!record.spec.guestAgent) throw new DriverError('guest_agent', `Set password: guest ${id} has no agent`);
      this.#passwords.set(id, { ...this.#passwords.get(id), [user]: password });
    });
  }

  injectNmi(id: GuestId): Promise<void> {
    return this.#alone(id, 'injectNmi', async () => {
      const record = await this.#here(id, 'NMI');
      if (record.state !== 'running' && record.state !== 'paused') throw notRunning(record, 'NMI');
      await this.#store.appendConsole(id, 'Uhhuh. NMI received\n');
    });
  }

  async consoleOutput(id: GuestId, maxBytes: number): Promise<string> {
    await this.#faults.meet(id, 'consoleOutput');
    const bytes = Buffer.from(await this.#store.readConsole(id));
    return bytes.subarray(Math.max(0, bytes.length - maxBytes)).toString();
  }

  async openConsole(id: GuestId, kind: 'vnc' | 'serial'): Promise<Duplex> {
    await this.#faults.meet(id, 'openConsole');
    const record = await this.#required(id);
    if (!hasProcess(record)) throw notRunning(record, 'Console');
    return this.#consoles.open(record.spec, kind);
  }

  onEvent(listener: (event: GuestEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close({ stopGuests }: { stopGuests: boolean }): Promise<void> {
    if (stopGuests) await Promise.all((await this.#store.ids()).map((id) => this.#change(id, 'stopped', WITH_PROCESS)));
    this.#moves.endAll();
    this.#consoles.endAll();
    this.#listeners.clear();
  }

  setFault(id: GuestId | '*', fault: Fault | null): void {
    this.#faults.set(id, fault);
  }

  isHanging(id: GuestId, point: FaultPoint): boolean {
    return this.#faults.isHanging(id, point);
  }

  async exit(id: GuestId, state: keyof typeof EXITS): Promise<void> {
    const reason = EXITS[state];
    if ((await this.#change(id, state, ['running'], reason)) !== 'running') return;
    for (const listener of this.#listeners) listener({ id, state, reason });
  }

  loseWithHost(id: GuestId): Promise<void> {
    return this.#locks.run(id, async () => {
      const record = await this.#store.read(id);
      if (!record || !hasProcess(record)) return;
      await this.#store.write(id, { ...record, state: 'stopped', reason: null, lostWithHost: true });
      this.#consoles.end(id);
    });
  }

  async disks(id: GuestId): Promise<Readonly<Record<string, string>>> {
    return this.#store.disks((await this.#store.read(id))?.spec ?? { id });
  }

  async loseDisk(id: GuestId, name: string): Promise<void> {
    await this.#store.removeDisk((await this.#store.read(id))?.spec ?? { id }, name);
  }

  passwords(id: GuestId): Readonly<Record<string, string>> {
    return this.#passwords.get(id) ?? {};
  }

  /** Meets the fault and then works, with no other call for this guest at the same time. */
  async #alone(id: GuestId, point: FaultPoint, work: () => Promise<void>): Promise<void> {
    await this.#faults.meet(id, point);
    await this.#locks.run(id, work);
  }

  /** Meets the fault of a call that takes a signal. */
  async #interruptibly(id: GuestId, point: FaultPoint, signal: AbortSignal | undefined): Promise<void> {
    try {
      signal?.throwIfAborted();
      await this.#faults.meet(id, point, signal);
    } catch (error) {
      throw signal?.aborted ? aborted(point, id, error) : error;
    }
  }

  /** The time of a long job, with its progress, except for the last: that belongs to the end of the work. */
  async #pass(id: GuestId, total: number, { signal, onProgress }: JobControl, what: string): Promise<void> {
    try {
      for (let step = 0; step < JOB_STEPS; step += 1) {
        signal.throwIfAborted();
        onProgress({ done: Math.floor((total * step) / JOB_STEPS), total });
        const pauseMs = this.#faults.delayMs(id) / JOB_STEPS;
        if (pauseMs > 0) await this.#clock.delay(pauseMs, signal);
      }
      signal.throwIfAborted();
    } catch (error) {
      throw signal.aborted ? aborted(what, id, error) : error;
    }
  }

  async #execute(record: FakeRecord): Promise<void> {
    const { spec, state } = record;
    if (state === 'running') return;
    const damage = await this.#damage(record);
    if (damage && state !== 'paused') throw new DriverError('guest_damaged', `Start of guest ${spec.id}: ${damage}`);
    requireCome(record, 'Start');
    await this.#store.write(spec.id, { ...record, state: 'running', reason: null, lostWithHost: false, move: null });
    const how = state === 'paused' || state === 'suspended' ? 'goes on' : 'started';
    await this.#store.appendConsole(spec.id, `fake guest ${spec.name} ${how}\n`);
  }

  /** Changes the state if it is one of `from`; returns the one before, null for an absent guest. */
  #change(id: GuestId, state: FakeState, from: readonly FakeState[] = ALL, reason: string | null = null) {
    return this.#locks.run(id, async () => {
      const record = await this.#store.read(id);
      if (record && (record.state !== state || record.lostWithHost) && from.includes(record.state)) {
        // What has gone is whole here, too; what comes will never be.
        const move = record.move?.to === 'here' ? record.move : null;
        await this.#store.write(id, { ...record, state, reason, lostWithHost: false, move });
        if (!WITH_PROCESS.includes(state)) this.#consoles.end(id);
      }
      return record?.state ?? null;
    });
  }

  async #status(id: GuestId): Promise<GuestStatus> {
    const record = await this.#store.read(id);
    if (!record) return { id, state: 'absent' };
    const damage = await this.#damage(record);
    const { state, lostWithHost } = record;
    const reason = (hasProcess(record) ? reasonOf(record.move) : null) ?? record.reason;
    return {
      id,
      state,
      ...(reason !== null && { reason }),
      ...(lostWithHost && { lostWithHost }),
      ...(damage !== null && { damage }),
    };
  }

  async #damage(record: FakeRecord): Promise<string | null> {
    const { spec, move } = record;
    if (move?.to === 'here' && !hasProcess(record)) return 'it has not come from the other host as a whole';
    const there = await this.#store.disks(spec);
    const lost = disksOf(spec).find(({ name }) => !(name in there));
    return lost ? `its disk ${lost.name} is missing` : null;
  }

  /** One that neither comes from another host nor has gone to one. */
  async #here(id: GuestId, what: string): Promise<FakeRecord> {
    const record = await this.#required(id);
    if (record.move) throw notHere(id, what, record.move);
    return record;
  }

  async #required(id: GuestId): Promise<FakeRecord> {
    const record = await this.#store.read(id);
    if (!record) throw new DriverError('guest_not_found', `Guest ${id} was not created`);
    return record;
  }
}

const WITH_PROCESS: readonly FakeState[] = ['running', 'paused'];
const ALL: readonly FakeState[] = ['running', 'paused', 'suspended', 'crashed', 'stopped'];

function hasProcess({ state }: FakeRecord): boolean {
  return WITH_PROCESS.includes(state);
}

function requireCome({ spec, move }: FakeRecord, what: string): void {
  if (move?.to === 'here' && !move.memory)
    throw new DriverError('command_failed', `${what} of guest ${spec.id}: it has not come as a whole`);
}

function notRunning({ spec, state }: FakeRecord, what: string): DriverError {
  return new DriverError('not_running', `${what} of guest ${spec.id}: it is ${state}`);
}

function aborted(what: string, id: GuestId, cause: unknown): DriverError {
  return new DriverError('aborted', `${what} of guest ${id} ended`, { cause });
}
