/**
 * The driver for real guests: one detached QEMU per guest, steered over QMP.
 *
 * QEMU and the files in `<instancesDir>/<id>/` are the only truth; what is kept in memory is a connection and can be lost
 * at any time. Calls for one guest run one after the other (a live backup excepted: it must not hold up `stop`),
 * calls for different guests do not wait for each other, and `destroy` ends whatever is under way.
 */

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { isDeepStrictEqual } from 'node:util';
import type {
  BackupResult,
  Capabilities,
  CommandObserver,
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
import { diskFile, disksDirOf, readSpec, unlinkIfThere } from '../guest-files.ts';
import { type GuestNetwork, USER_NETWORK } from '../guest-network.ts';
import { KeyedLock } from '../keyed-lock.ts';
import { probeAccelerator } from './accelerator.ts';
import { checkSpec, FILES } from './argv.ts';
import { backupLive, backupStopped, removeLeftovers } from './backup.ts';
import { readTail } from './console-log.ts';
import { Consoles } from './consoles.ts';
import type { Tools } from './disks.ts';
import { Execution, type ExecutionHost } from './execution.ts';
import type { RunningGuest } from './guest.ts';
import { type DriverLog, Guests } from './guests.ts';
import { locate } from './handle.ts';
import { hostInventory, hostMemoryMib } from './host.ts';
import type { Accelerator } from './launch.ts';
import { dropMemory, hasMemory } from './memory.ts';
import { dropMove, readMove } from './move-note.ts';
import { Moves } from './moves.ts';
import { isQmpError, QmpCommandError } from './qmp/errors.ts';
import { asItIs, setPassword, thawIfNoted, throughAgent } from './quiesce.ts';
import type { RunAs } from './run-as.ts';
import { Spawner } from './spawner.ts';
import { createFiles, reconfigureFiles, revertFiles, settleFiles, specBefore } from './specification.ts';

export type { DriverLog } from './guests.ts';

/** How a QEMU driver is made. */
export interface QemuDriverOptions {
  /** Absolute path; made when missing. One driver at a time per folder. */
  readonly instancesDir: string;
  /** Told of each QMP command. */
  readonly observe?: CommandObserver | undefined;
  readonly log?: DriverLog | undefined;
  /** `auto` (default) takes KVM only where a test start succeeds. */
  readonly accelerator?: 'auto' | Accelerator | undefined;
  /** Whom QEMU runs as; needs root. It reaches the guest's own folder and nothing else of ours; a base image must be in it. */
  readonly user?: RunAs | null | undefined;
  /** Where its network cards end; each guest is alone where it is missing. */
  readonly network?: GuestNetwork | undefined;
  /** The most that the memory, and that each disk, of a guest that moves takes of the line; 0 (default) is no limit. */
  readonly moveBytesPerSecond?: number | undefined;
}

/** Makes the driver. Touches nothing until its first call; starts one small shell (see `spawner.ts`). */
export function qemuDriver(options: QemuDriverOptions): Driver {
  return new QemuDriver(options);
}

class QemuDriver implements Driver {
  readonly name = 'qemu';
  readonly #options: QemuDriverOptions;
  readonly #spawner = new Spawner();
  readonly #guests: Guests;
  readonly #execution: Execution;
  readonly #moves: Moves;
  readonly #backupLocks = new KeyedLock();
  readonly #agentLocks = new KeyedLock();
  readonly #consoles = new Consoles();
  /** Guests of which a backup is under way. */
  readonly #copying = new Set<GuestId>();
  /** Of the calls that take their time: aborted by `destroy` and `close`. */
  readonly #waiting = new Map<GuestId, Set<AbortController>>();

  constructor(options: QemuDriverOptions) {
    this.#options = options;
    this.#spawner.warmUp();
    this.#guests = new Guests({
      instancesDir: options.instancesDir,
      log: options.log,
      observer: (id) => this.#observer(id),
      onAttached: (id, guest) => this.#repair(id, guest),
    });
    const host: ExecutionHost = {
      user: options.user ?? null,
      moveBytesPerSecond: options.moveBytesPerSecond ?? 0,
      accelerator: () => this.#accelerator(),
      tools: (id) => ({ ...this.#tools, network: this.#network, observe: this.#observer(id) }),
      untilDestroyed: (id, work) => this.#interruptible(id, 'Start', undefined, work),
      onContinued: (id, dir) => this.#thaw(id, dir),
      warn: (id, error, message) => this.#warn(id, error, message),
    };
    this.#execution = new Execution(this.#guests, host);
    this.#moves = new Moves(this.#guests, this.#execution, host);
  }

  async capabilities(): Promise<Capabilities> {
    return {
      accelerator: await this.#accelerator(),
      liveBackup: true,
      liveMigration: true,
      maxMemoryMib: hostMemoryMib(),
    };
  }

  inventory(): Promise<Inventory> {
    return hostInventory(this.#options.instancesDir, this.#spawner);
  }

  recover(): Promise<readonly GuestStatus[]> {
    return this.#guests.recover();
  }

  inspect(id: GuestId): Promise<GuestStatus> {
    return this.#guests.inspect(id);
  }

  async create(spec: GuestSpec, { hasDisks = false } = {}): Promise<void> {
    checkSpec(spec);
    const dir = this.#guests.dir(spec.id);
    await this.#guests.locks.run(spec.id, () => createFiles(dir, spec, { ...this.#tools, hasDisks }));
  }

  async spec(id: GuestId): Promise<GuestSpec | null> {
    return readSpec(this.#guests.dir(id));
  }

  start(id: GuestId): Promise<void> {
    return this.#alone(id, 'Start', (spec) => this.#execution.execute(spec), { moves: true });
  }

  async stop(id: GuestId, graceMs: number, signal?: AbortSignal): Promise<void> {
    const dir = this.#guests.dir(id);
    if (graceMs === 0) this.#guests.attached(id)?.hurry();
    await abortable(`Stop of guest ${id}`, signal, () =>
      this.#guests.locks.run(id, async () => {
        signal?.throwIfAborted();
        try {
          const guest = await this.#guests.find(id);
          // With its memory safe the process is no guest any more, only what was not cleared away.
          if (guest && !(await this.#execution.isSuspended(dir, guest))) await guest.stop(graceMs, signal);
        } catch (error) {
          if (!isQmpError(error)) throw error;
        }
        await this.#guests.end(id); // which makes a stopped guest of a crashed one, too
        await dropMemory(dir);
        // What has gone is whole here, too; what comes will never be.
        if ((await readMove(dir))?.to === 'elsewhere') await dropMove(dir);
      }),
    );
  }

  reboot(id: GuestId, graceMs: number, signal?: AbortSignal): Promise<boolean> {
    return this.#interruptible(id, 'Reboot', signal, (interrupt) =>
      this.#alone(id, 'Reboot', async (spec, dir) => {
        interrupt.throwIfAborted();
        const guest = await this.#guests.find(id);
        if (guest && (await guest.doing()).state === 'running' && !(await this.#execution.isSuspended(dir, guest)))
          return graceMs > 0 && (await guest.reboot(graceMs, interrupt));
        await this.#execution.execute(spec);
        return true;
      }),
    );
  }

  pause(id: GuestId): Promise<void> {
    return this.#alone(id, 'Pause', () => this.#execution.pause(id), { moves: true });
  }

  suspend(id: GuestId, control: JobControl): Promise<void> {
    return this.#interruptible(id, 'Suspend', control.signal, (signal) =>
      // A backup under way would keep QEMU from handing over its disks.
      this.#backupLocks.run(id, () =>
        this.#alone(id, 'Suspend', (spec) => this.#execution.suspend(spec, { ...control, signal })),
      ),
    );
  }

  async reconfigure(spec: GuestSpec): Promise<void> {
    checkSpec(spec);
    await this.#alone(spec.id, 'Reconfigure', async (now, dir) => {
      // Asked for what it is already it does nothing, whatever the guest does.
      if (!isDeepStrictEqual(now, spec)) await this.#execution.requireStopped(spec.id, 'Reconfigure');
      await reconfigureFiles(dir, spec, this.#tools);
    });
  }

  async settle(id: GuestId): Promise<void> {
    const dir = this.#guests.dir(id);
    await this.#guests.locks.run(id, () => settleFiles(dir));
  }

  async revert(id: GuestId): Promise<void> {
    const dir = this.#guests.dir(id);
    await this.#guests.locks.run(id, async () => {
      if (await specBefore(dir)) await this.#execution.requireStopped(id, 'Revert');
      await revertFiles(dir, this.#tools);
    });
  }

  plug(id: GuestId, nic: GuestNic): Promise<void> {
    return this.#alone(id, 'Plug', async (spec) => {
      checkSpec({ ...spec, nics: [nic] });
      await this.#execution.plug(spec, nic);
    });
  }

  unplug(id: GuestId, mac: string, signal?: AbortSignal): Promise<void> {
    return this.#interruptible(id, 'Unplug', signal, (either) =>
      this.#alone(id, 'Unplug', (spec) => this.#execution.unplug(spec, mac, either)),
    );
  }

  async receive(spec: GuestSpec, options: MoveOptions = {}): Promise<void> {
    checkSpec(spec);
    await this.#guests.locks.run(spec.id, () => this.#moves.receive(spec, options));
  }

  openIncoming(id: GuestId, stream: MoveStream): Promise<Duplex> {
    return this.#moves.openIncoming(id, stream);
  }

  migrate(
    id: GuestId,
    open: (stream: MoveStream) => Promise<Duplex>,
    control: JobControl,
    options: MoveOptions = {},
  ): Promise<void> {
    return this.#interruptible(id, 'Migrate', control.signal, (signal) => {
      const send = (spec: GuestSpec) => this.#moves.send(spec, open, { ...control, signal }, options);
      // A backup under way would keep QEMU from handing over its disks.
      return this.#backupLocks.run(id, () => this.#alone(id, 'Migrate', send, { moves: true }));
    });
  }

  async hurry(id: GuestId): Promise<void> {
    this.#guests.dir(id); // refuses what is no id
    await this.#moves.hurry(id);
  }

  async destroy(id: GuestId): Promise<void> {
    const dir = this.#guests.dir(id);
    for (const call of this.#waiting.get(id) ?? []) call.abort(new Error(`Guest ${id} was destroyed`));
    // Not behind a call that holds the lock and waits for the guest.
    await this.#guests.attached(id)?.kill();
    await this.#guests.locks.run(id, async () => {
      await this.#guests.end(id);
      await this.#network.release((await readSpec(dir))?.nics ?? []);
      await unlinkIfThere(join(dir, FILES.spec));
      await rm(dir, { recursive: true, force: true });
    });
  }

  backupDisk(
    id: GuestId,
    target: string,
    control: JobControl,
    options: { readonly quiesce?: 'required' } = {},
  ): Promise<BackupResult> {
    return this.#interruptible(id, 'Backup', control.signal, (signal) =>
      this.#backupLocks
        .run(id, async () => {
          const own: JobControl = { ...control, signal };
          this.#copying.add(id);
          // A stopped guest must stay stopped while it is copied, hence inside the lock; a running one is copied outside.
          const first = await this.#alone(id, 'Backup', async (spec, dir) => {
            const order = { disk: join(disksDirOf(dir, spec), diskFile(spec.disk.name)), target, user: this.#user };
            const guest = await this.#guests.find(id);
            if (!guest || (await this.#execution.isSuspended(dir, guest)))
              return backupStopped(this.#spawner, dir, spec, order, own);
            const needed = options.quiesce === 'required';
            const { state } = await guest.doing();
            if (needed && (state === 'paused' || (state === 'running' && !spec.guestAgent)))
              throw new DriverError('guest_agent', `Backup of guest ${id}: its file systems cannot be frozen`);
            const onUnthawed = (error: unknown) => this.#warn(id, error, 'a guest may have stayed frozen');
            const byAgent = state === 'running' && spec.guestAgent;
            const quiesce = byAgent ? throughAgent(dir, this.#agentLocks, { needed, onUnthawed }) : asItIs;
            return () => backupLive(guest.qmp, order, own, quiesce);
          });
          return typeof first === 'function' ? await first() : first;
        })
        .finally(() => this.#copying.delete(id)),
    );
  }

  async setPassword(id: GuestId, user: string, password: string): Promise<void> {
    const dir = await this.#alone(id, 'Set password', async (spec, dir) => {
      await this.#execution.executing(id, 'Set password');
      if (!spec.guestAgent) throw new DriverError('guest_agent', `Set password: guest ${id} has no agent`);
      return dir;
    });
    await setPassword(dir, this.#agentLocks, user, password);
  }

  injectNmi(id: GuestId): Promise<void> {
    return this.#alone(id, 'NMI', async () => {
      const guest = await this.#execution.living(id, 'NMI');
      await guest.qmp.execute('inject-nmi');
    });
  }

  async consoleOutput(id: GuestId, maxBytes: number): Promise<string> {
    return readTail(join(this.#guests.dir(id), FILES.consoleLog), maxBytes);
  }

  async openConsole(id: GuestId, kind: 'vnc' | 'serial'): Promise<Duplex> {
    const dir = this.#guests.dir(id);
    // Not behind a `stop` that waits for the guest.
    const { state } = await this.inspect(id);
    if (state === 'absent') throw new DriverError('guest_not_found', `Guest ${id} was not created`);
    if (state !== 'running' && state !== 'paused') {
      throw new DriverError('not_running', `Console of guest ${id}: it is ${state}`);
    }
    try {
      return await this.#consoles.open(id, dir, kind);
    } catch (cause) {
      throw new DriverError('not_running', `Console of guest ${id}: nobody listens`, { cause });
    }
  }

  onEvent(listener: (event: GuestEvent) => void): () => void {
    return this.#guests.onEvent(listener);
  }

  async close({ stopGuests }: { stopGuests: boolean }): Promise<void> {
    this.#guests.close();
    for (const calls of this.#waiting.values()) for (const call of calls) call.abort(new Error('Driver closed'));
    if (stopGuests) await Promise.all((await this.#guests.ids()).map((id) => this.#stopForClose(id)));
    this.#consoles.close();
    this.#guests.letGo();
    await this.#spawner.close();
  }

  get #tools(): Tools {
    return { spawner: this.#spawner, user: this.#user };
  }

  get #network(): GuestNetwork {
    return this.#options.network ?? USER_NETWORK;
  }

  get #user(): RunAs | null {
    return this.#options.user ?? null;
  }

  async #accelerator(): Promise<Accelerator> {
    const wanted = this.#options.accelerator ?? 'auto';
    return wanted === 'auto' ? probeAccelerator(this.#spawner) : wanted;
  }

  #observer(id: GuestId): (command: string, ms: number, error?: string) => void {
    return (command, ms, error) => this.#options.observe?.(id, command, ms, error);
  }

  #warn(id: GuestId, error: unknown, message: string): void {
    this.#options.log?.warn({ guest: id, err: error }, message);
  }

  /** Works on a guest that exists, with no other call for it at the same time; `moves`: also on one that comes, or has gone. */
  async #alone<T>(
    id: GuestId,
    what: string,
    work: (spec: GuestSpec, dir: string) => Promise<T>,
    { moves = false } = {},
  ): Promise<T> {
    const dir = this.#guests.dir(id);
    return this.#guests.locks.run(id, async () => {
      const spec = await readSpec(dir);
      if (!spec) throw new DriverError('guest_not_found', `Guest ${id} was not created`);
      try {
        if (!moves) await this.#moves.requireHere(id, what);
        return await work(spec, dir);
      } catch (error) {
        throw asDriverError(error, `${what} of guest ${id}`);
      }
    });
  }

  /** Gives a call that waits a signal which `destroy` fires, too. */
  async #interruptible<T>(
    id: GuestId,
    what: string,
    signal: AbortSignal | undefined,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const call = new AbortController();
    const calls = this.#waiting.get(id) ?? new Set();
    this.#waiting.set(id, calls.add(call));
    const either = signal ? AbortSignal.any([signal, call.signal]) : call.signal;
    try {
      return await abortable(`${what} of guest ${id}`, either, () => work(either));
    } finally {
      calls.delete(call);
      if (calls.size === 0) this.#waiting.delete(id);
    }
  }

  /** Whoever began something with this guest is gone; nobody else would ever end it. */
  async #repair(id: GuestId, guest: RunningGuest): Promise<void> {
    const dir = this.#guests.dir(id);
    if (!this.#copying.has(id)) await removeLeftovers(guest.qmp, dir);
    await this.#moves.repair(id, guest);
    this.#thaw(id, dir);
  }

  /** Beside everything else: an agent may take its time. */
  #thaw(id: GuestId, dir: string): void {
    thawIfNoted(dir, this.#agentLocks).catch((error: unknown) =>
      this.#warn(id, error, 'a guest may have stayed frozen'),
    );
  }

  /** A suspended guest keeps its memory, and one lost with its host stays so. */
  async #stopForClose(id: GuestId): Promise<void> {
    const dir = this.#guests.dir(id);
    await this.#guests.locks.run(id, async () => {
      if ((await locate(dir)).at !== 'running') return;
      const guest = await this.#guests.find(id).catch(() => null); // one that does not answer is ended below
      if (guest && !(await hasMemory(dir))) await guest.stop(0);
      await this.#guests.end(id);
    });
  }
}

/** Tells an end by the signal from a failure. */
async function abortable<T>(what: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof DriverError) throw error;
    if (signal?.aborted) throw new DriverError('aborted', `${what} ended`, { cause: error });
    throw asDriverError(error, what);
  }
}

function asDriverError(error: unknown, what: string): unknown {
  if (!isQmpError(error)) return error;
  const code = error instanceof QmpCommandError ? 'command_failed' : 'hypervisor_gone';
  return new DriverError(code, `${what}: ${error instanceof Error ? error.message : error}`, { cause: error });
}
