/**
 * A hypervisor that only keeps books: for hundreds of hosts in one process, and for faults that no real one has on order.
 *
 * It obeys the same contracts as the QEMU driver (both pass `conformance.ts`): a running guest outlives the process,
 * every method may be repeated, and a backup is a real, valid, empty qcow2 of the right size.
 */

import { rename, rm, stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type {
  BackupResult,
  Capabilities,
  Driver,
  GuestEvent,
  GuestId,
  GuestSpec,
  GuestStatus,
  Inventory,
  JobControl,
} from '../driver.ts';
import { DriverError } from '../driver-error.ts';
import { KeyedLock } from '../keyed-lock.ts';
import { writeEmptyQcow2 } from '../qcow2.ts';
import { type FakeRecord, type FakeState, type FakeStore, fileStore, memoryStore } from './fake-store.ts';
import { type FakeClock, type Fault, Faults } from './faults.ts';

const BACKUP_STEPS = 4;

const INVENTORY: Inventory = {
  vcpus: 64,
  memoryMib: 262_144,
  diskGib: 4096,
  hypervisorType: 'fake',
  hypervisorVersion: 1_000_000,
  cpuModel: 'fake',
  cpuArch: 'x86_64',
};

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
  /** Ends a running guest as if by itself and tells the listeners. Not running: nothing. */
  exit(id: GuestId, state: 'crashed' | 'stopped'): Promise<void>;
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

  constructor(options: FakeDriverOptions) {
    this.#store = options.persist === false ? memoryStore() : fileStore(options.instancesDir);
    this.#clock = options.clock ?? { delay: (ms, signal) => delay(ms, undefined, signal ? { signal } : {}) };
    this.#faults = new Faults(this.#clock);
    this.#inventory = { ...INVENTORY, ...options.inventory };
    for (const [id, fault] of Object.entries(options.faults ?? {})) this.#faults.set(id, fault);
  }

  async capabilities(): Promise<Capabilities> {
    return { accelerator: 'none', liveBackup: true, maxMemoryMib: this.#inventory.memoryMib };
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

  async create(spec: GuestSpec): Promise<void> {
    const { id } = spec;
    await this.#faults.meet(id, 'create');
    await this.#locks.run(id, async () => {
      const before = await this.#store.read(id);
      if (before && isDeepStrictEqual(before.spec, spec)) return;
      await this.#store.write(id, { spec, state: before?.state ?? 'stopped' });
    });
  }

  async start(id: GuestId): Promise<void> {
    await this.#faults.meet(id, 'start');
    await this.#locks.run(id, async () => {
      const record = await this.#required(id);
      if (record.state === 'running') return;
      await this.#store.write(id, { ...record, state: 'running' });
      await this.#store.appendConsole(id, `fake guest ${record.spec.name} started\n`);
    });
  }

  async stop(id: GuestId, _graceMs: number): Promise<void> {
    await this.#faults.meet(id, 'stop');
    await this.#change(id, 'stopped');
  }

  async destroy(id: GuestId): Promise<void> {
    await this.#faults.meet(id, 'destroy');
    await this.#locks.run(id, () => this.#store.remove(id));
  }

  async backupDisk(id: GuestId, target: string, control: JobControl): Promise<BackupResult> {
    const partial = `${target}.partial`;
    try {
      await this.#faults.meet(id, 'backupDisk', control.signal);
      const { spec, state } = await this.#required(id);
      const total = spec.disk.sizeBytes;
      await writeEmptyQcow2(partial, total, null);
      for (let step = 0; step < BACKUP_STEPS; step += 1) {
        control.signal.throwIfAborted();
        control.onProgress({ done: Math.floor((total * step) / BACKUP_STEPS), total });
        const pauseMs = this.#faults.delayMs(id) / BACKUP_STEPS;
        if (pauseMs > 0) await this.#clock.delay(pauseMs, control.signal);
      }
      control.signal.throwIfAborted();
      // A guest destroyed meanwhile has no disk that could have been copied.
      await this.#required(id);
      await rename(partial, target);
      control.onProgress({ done: total, total });
      const { size } = await stat(target);
      return { sizeBytes: size, virtualSizeBytes: total, live: state === 'running' };
    } catch (error) {
      await Promise.all([rm(partial, { force: true }), rm(target, { force: true })]);
      if (control.signal.aborted) throw new DriverError('aborted', `Backup of guest ${id} ended`, { cause: error });
      throw error;
    }
  }

  async consoleOutput(id: GuestId, maxBytes: number): Promise<string> {
    await this.#faults.meet(id, 'consoleOutput');
    const bytes = Buffer.from(await this.#store.readConsole(id));
    return bytes.subarray(Math.max(0, bytes.length - maxBytes)).toString();
  }

  onEvent(listener: (event: GuestEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close({ stopGuests }: { stopGuests: boolean }): Promise<void> {
    if (stopGuests) await Promise.all((await this.#store.ids()).map((id) => this.#change(id, 'stopped')));
    this.#listeners.clear();
  }

  setFault(id: GuestId | '*', fault: Fault | null): void {
    this.#faults.set(id, fault);
  }

  async exit(id: GuestId, state: 'crashed' | 'stopped'): Promise<void> {
    const before = await this.#change(id, state, ['running']);
    if (before !== 'running') return;
    const reason = state === 'crashed' ? 'the fake guest crashed' : 'guest powered off';
    for (const listener of this.#listeners) listener({ id, state, reason });
  }

  /** Changes the state if it is one of `from`; returns the one before, null for an absent guest. */
  #change(id: GuestId, state: FakeState, from: readonly FakeState[] = ['running', 'crashed', 'stopped']) {
    return this.#locks.run(id, async () => {
      const record = await this.#store.read(id);
      if (record && record.state !== state && from.includes(record.state)) {
        await this.#store.write(id, { ...record, state });
      }
      return record?.state ?? null;
    });
  }

  async #status(id: GuestId): Promise<GuestStatus> {
    return { id, state: (await this.#store.read(id))?.state ?? 'absent' };
  }

  async #required(id: GuestId): Promise<FakeRecord> {
    const record = await this.#store.read(id);
    if (!record) throw new DriverError('guest_not_found', `Guest ${id} was not created`);
    return record;
  }
}
