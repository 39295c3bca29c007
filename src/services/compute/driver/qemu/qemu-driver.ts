/**
 * The driver for real guests: one detached QEMU per guest, steered over QMP.
 *
 * QEMU and the files in `<instancesDir>/<id>/` are the only truth; what is kept in memory is a connection and can be lost
 * at any time. Calls for one guest run one after the other (a live backup excepted: it must not hold up `stop`),
 * calls for different guests do not wait for each other.
 */

import { mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type {
  BackupResult,
  Capabilities,
  CommandObserver,
  Driver,
  GuestEvent,
  GuestId,
  GuestSpec,
  GuestStatus,
  Inventory,
  JobControl,
} from '../driver.ts';
import { DriverError } from '../driver-error.ts';
import { guestDir, listGuestIds, readIfThere, readSpec, unlinkIfThere, writeFileAtomic } from '../guest-files.ts';
import { KeyedLock } from '../keyed-lock.ts';
import { probeAccelerator } from './accelerator.ts';
import { checkSpec, FILES } from './argv.ts';
import { backupLive, backupStopped, removeLeftovers } from './backup.ts';
import { writeConfigDrive } from './config-drive.ts';
import { boundLog, readTail } from './console-log.ts';
import { ensureDisk } from './disks.ts';
import { type GuestEnd, RunningGuest } from './guest.ts';
import { clearHandle, locate, writeHandle } from './handle.ts';
import { hostInventory, hostMemoryMib } from './host.ts';
import { killProcess, launch, type RunAs } from './launch.ts';
import { QmpCommandError, QmpGoneError, QmpTimeoutError } from './qmp/errors.ts';
import { LENT, lend, shareFolder } from './shared-files.ts';
import { Spawner } from './spawner.ts';

/** How often logs are looked at for growth. */
const LOG_CHECK_MS = 10_000;

/** Where the driver's few remarks go; the shape of pino and of console alike. */
export interface DriverLog {
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
}

/** How a QEMU driver is made. */
export interface QemuDriverOptions {
  /** Absolute path; made when missing. One driver at a time per folder. */
  readonly instancesDir: string;
  /** Told of each QMP command. */
  readonly observe?: CommandObserver | undefined;
  readonly log?: DriverLog | undefined;
  /** `auto` (default) takes KVM only where a test start succeeds. */
  readonly accelerator?: 'auto' | 'kvm' | 'tcg' | undefined;
  /** Whom QEMU runs as; needs root. It reaches the guest's own folder and nothing else of ours; a base image must be in it. */
  readonly user?: RunAs | null | undefined;
}

/** Makes the driver. Touches nothing until its first call; starts one small shell (see `spawner.ts`). */
export function qemuDriver(options: QemuDriverOptions): Driver {
  return new QemuDriver(options);
}

class QemuDriver implements Driver {
  readonly name = 'qemu';
  readonly #options: QemuDriverOptions;
  readonly #spawner = new Spawner();
  readonly #locks = new KeyedLock();
  readonly #backupLocks = new KeyedLock();
  readonly #attached = new Map<GuestId, RunningGuest>();
  readonly #backups = new Map<GuestId, Set<AbortController>>();
  readonly #listeners = new Set<(event: GuestEvent) => void>();
  readonly #logTimer: NodeJS.Timeout;
  #closed = false;

  constructor(options: QemuDriverOptions) {
    this.#options = options;
    this.#spawner.warmUp();
    this.#logTimer = setInterval(() => void this.#boundLogs(), LOG_CHECK_MS).unref();
  }

  async capabilities(): Promise<Capabilities> {
    return { accelerator: await this.#accelerator(), liveBackup: true, maxMemoryMib: hostMemoryMib() };
  }

  inventory(): Promise<Inventory> {
    return hostInventory(this.#options.instancesDir, this.#spawner);
  }

  async recover(): Promise<readonly GuestStatus[]> {
    const ids = await listGuestIds(this.#options.instancesDir);
    const found = await Promise.all(ids.map((id) => this.#locks.run(id, () => this.#recoverOne(id))));
    return found.filter((status) => status.state !== 'absent');
  }

  async inspect(id: GuestId): Promise<GuestStatus> {
    // A guest that is attached can be asked at any time, also while a `stop` waits for it.
    if (this.#attached.get(id)?.connected) return this.#status(id);
    return this.#locks.run(id, () => this.#status(id));
  }

  async create(spec: GuestSpec): Promise<void> {
    checkSpec(spec);
    const dir = this.#dir(spec.id);
    await this.#locks.run(spec.id, async () => {
      const { user } = this.#options;
      const specPath = join(dir, FILES.spec);
      const specText = JSON.stringify(spec);
      const same = (await readIfThere(specPath)) === specText;
      await mkdir(dir, { recursive: true, mode: 0o750 });
      if (user) await shareFolder(dir, user);
      // Both to their ends even if one fails: nothing may still be writing here when the caller hears of it.
      const parts = await Promise.allSettled([
        ensureDisk(dir, spec),
        same || !spec.configDrive ? null : writeConfigDrive(dir, spec.configDrive),
      ]);
      for (const part of parts) if (part.status === 'rejected') throw part.reason;
      if (user) {
        // A base in the folder is a link to a file that others use too.
        const toRead = [
          ...(spec.configDrive ? [join(dir, FILES.configDrive)] : []),
          ...(dirname(spec.disk.base) === dir ? [spec.disk.base] : []),
        ];
        await lend(join(dir, FILES.disk), user, LENT.toWrite);
        for (const path of toRead) await lend(path, user, LENT.toRead);
      }
      // Last: from here on the guest exists.
      if (!same) await writeFileAtomic(specPath, specText);
    });
  }

  async start(id: GuestId): Promise<void> {
    const dir = this.#dir(id);
    await this.#locks.run(id, async () => {
      const [spec, guest] = await Promise.all([readSpec(dir), this.#find(id)]);
      if (!spec) throw new DriverError('guest_not_found', `Guest ${id} was not created`);
      if (guest)
        return guest.resume().catch((error: unknown) => {
          throw asDriverError(error, `Start of guest ${id}`);
        });
      const launched = await launch(dir, spec, {
        spawner: this.#spawner,
        accelerator: await this.#accelerator(),
        user: this.#options.user ?? null,
        observe: this.#observer(id),
      });
      this.#adopt(id, new RunningGuest(dir, launched));
    });
  }

  stop(id: GuestId, graceMs: number): Promise<void> {
    if (graceMs === 0) this.#attached.get(id)?.hurry();
    return this.#locks.run(id, async () => {
      try {
        await (await this.#find(id))?.stop(graceMs);
      } catch (error) {
        if (!isQmpError(error)) throw error;
        const found = await locate(this.#dir(id));
        if (found.at === 'running') await killProcess(found.process);
      }
      this.#attached.delete(id);
      // A crashed guest becomes a stopped one by this.
      await clearHandle(this.#dir(id));
    });
  }

  async destroy(id: GuestId): Promise<void> {
    const dir = this.#dir(id);
    for (const backup of this.#backups.get(id) ?? []) backup.abort(new Error(`Guest ${id} was destroyed`));
    // Not behind a patient `stop`: it holds the lock.
    await this.#attached.get(id)?.kill();
    await this.#locks.run(id, async () => {
      // By pid, not by QMP: a QEMU that does not answer must go just the same.
      const guest = this.#attached.get(id);
      if (guest) await guest.kill();
      this.#attached.delete(id);
      const found = await locate(dir);
      if (found.at === 'running') await killProcess(found.process);
      await unlinkIfThere(join(dir, FILES.spec));
      await rm(dir, { recursive: true, force: true });
    });
  }

  async backupDisk(id: GuestId, target: string, control: JobControl): Promise<BackupResult> {
    const dir = this.#dir(id);
    const order = { disk: join(dir, FILES.disk), target, user: this.#options.user ?? null };
    const destroyed = new AbortController();
    const own: JobControl = { ...control, signal: AbortSignal.any([control.signal, destroyed.signal]) };
    const running = this.#backups.get(id) ?? new Set();
    this.#backups.set(id, running.add(destroyed));
    try {
      return await this.#backupLocks.run(id, async () => {
        const offline = async () => {
          const spec = await readSpec(dir);
          if (!spec) throw new DriverError('guest_not_found', `Guest ${id} was not created`);
          return backupStopped(this.#spawner, dir, spec, order, own);
        };
        // A stopped guest must stay stopped while it is copied, hence inside the lock; a running one is copied outside.
        const first = await this.#locks.run(id, async () => (await this.#find(id)) ?? (await offline()));
        return first instanceof RunningGuest ? await backupLive(first.qmp, order, own) : first;
      });
    } catch (error) {
      throw asDriverError(error, `Backup of guest ${id}`);
    } finally {
      running.delete(destroyed);
      if (running.size === 0) this.#backups.delete(id);
    }
  }

  async consoleOutput(id: GuestId, maxBytes: number): Promise<string> {
    return readTail(join(this.#dir(id), FILES.consoleLog), maxBytes);
  }

  onEvent(listener: (event: GuestEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close({ stopGuests }: { stopGuests: boolean }): Promise<void> {
    this.#closed = true;
    clearInterval(this.#logTimer);
    for (const backups of this.#backups.values()) for (const each of backups) each.abort(new Error('Driver closed'));
    if (stopGuests) {
      const ids = await listGuestIds(this.#options.instancesDir);
      await Promise.all(ids.map((id) => this.stop(id, 0)));
    }
    for (const guest of this.#attached.values()) guest.qmp.close();
    this.#attached.clear();
    await this.#spawner.close();
  }

  #dir(id: GuestId): string {
    return guestDir(this.#options.instancesDir, id);
  }

  async #accelerator(): Promise<'kvm' | 'tcg'> {
    const wanted = this.#options.accelerator ?? 'auto';
    return wanted === 'auto' ? probeAccelerator(this.#spawner) : wanted;
  }

  #observer(id: GuestId): (command: string, ms: number, error?: string) => void {
    return (command, ms, error) => this.#options.observe?.(id, command, ms, error);
  }

  /**
   * The running guest, attached now if it was not; null when no process of it runs. Throws a QMP error for a
   * process that runs but does not answer.
   */
  async #find(id: GuestId): Promise<RunningGuest | null> {
    const known = this.#attached.get(id);
    if (known?.connected) return known;
    // It is ending, or only its connection is gone: what is true can be seen only once that is settled.
    await known?.ended;
    const dir = this.#dir(id);
    const found = await locate(dir);
    if (found.at !== 'running') return null;
    const guest = await RunningGuest.attach(dir, found.process, this.#observer(id));
    this.#adopt(id, guest);
    // Attached anew, so whoever began a backup is gone; nobody would ever end it.
    if (!this.#backups.get(id)?.size) await removeLeftovers(guest.qmp, dir);
    return guest;
  }

  #adopt(id: GuestId, guest: RunningGuest): void {
    this.#attached.set(id, guest);
    void guest.ended
      .then((end) => this.#onEnd(id, guest, end))
      .catch((error: unknown) => {
        this.#options.log?.warn({ guest: id, err: error }, 'cannot note the end of a guest');
      });
  }

  async #onEnd(id: GuestId, guest: RunningGuest, end: GuestEnd | null): Promise<void> {
    if (this.#attached.get(id) !== guest) return;
    this.#attached.delete(id);
    if (this.#closed || guest.endIsExpected) return;
    if (!end) {
      this.#options.log?.warn({ guest: id }, 'QMP connection lost, QEMU runs on');
      return;
    }
    this.#emit({ id, ...end });
    // Written down for those who ask later, unless somebody started or destroyed the guest in the meantime.
    const dir = this.#dir(id);
    await this.#locks.run(id, async () => {
      const { at } = await locate(dir);
      if (at !== 'exited' && at !== 'died') return;
      if (end.state === 'crashed') await writeHandle(dir, { phase: 'crashed', process: null, argvHash: '' });
      else await clearHandle(dir);
    });
  }

  async #status(id: GuestId): Promise<GuestStatus> {
    const dir = this.#dir(id);
    try {
      const guest = await this.#find(id);
      if (guest) return { id, state: await guest.state() };
    } catch (error) {
      // Its process is there, so it is no crash; that it does not answer is for people to look at.
      if (!isQmpError(error)) throw error;
      this.#options.log?.warn({ guest: id, err: error }, 'QEMU does not answer');
      if ((await locate(dir)).at === 'running') return { id, state: 'running' };
    }
    if (!(await readSpec(dir))) return { id, state: 'absent' };
    return { id, state: (await locate(dir)).at === 'died' ? 'crashed' : 'stopped' };
  }

  /** Like `#status`, and tells of what happened while nobody was attached. */
  async #recoverOne(id: GuestId): Promise<GuestStatus> {
    const status = await this.#status(id);
    const { at } = await locate(this.#dir(id));
    if (at === 'died') this.#emit({ id, state: 'crashed', reason: 'QEMU died while nobody watched' });
    if (at === 'exited') {
      this.#emit({ id, state: 'stopped', reason: 'guest powered off while nobody watched' });
      await clearHandle(this.#dir(id));
    }
    return status;
  }

  #emit(event: GuestEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  async #boundLogs(): Promise<void> {
    const logs = [...this.#attached.keys()].flatMap((id) =>
      [FILES.consoleLog, FILES.qemuLog].map((log) => ({ id, log })),
    );
    await Promise.all(
      logs.map(({ id, log }) =>
        boundLog(join(this.#dir(id), log)).catch((error: unknown) => {
          this.#options.log?.warn({ guest: id, log, err: error }, 'cannot shorten a log');
        }),
      ),
    );
  }
}

function isQmpError(error: unknown): boolean {
  return [QmpGoneError, QmpCommandError, QmpTimeoutError].some((kind) => error instanceof kind);
}

function asDriverError(error: unknown, what: string): unknown {
  if (!isQmpError(error)) return error;
  const code = error instanceof QmpCommandError ? 'command_failed' : 'hypervisor_gone';
  return new DriverError(code, `${what}: ${error instanceof Error ? error.message : error}`, { cause: error });
}
