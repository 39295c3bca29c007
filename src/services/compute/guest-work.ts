/**
 * What takes more than the driver alone: a guest's files are made from images of the cache, and the folder they lie in is
 * this agent's to name.
 */
import { link, mkdir, readlink, rm, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { computeContract } from '#contracts/compute.ts';
import type { InputOf } from '#contracts/contract.ts';
import { CloudError } from '#domain/errors.ts';
import type { Driver, GuestDisk, GuestSpec, JobControl } from './driver/driver.ts';
import { disksDirOf } from './driver/guest-files.ts';
import type { ImageCache } from './image-cache.ts';
import type { SharedBases } from './shared-bases.ts';
import type { SharedDisks } from './shared-disks.ts';

export const GIB = 2 ** 30;
/** Of the disk that a launch makes. */
const ROOT_DISK = 'disk';
/** How the names of disks begin that a rescue puts before it. */
const RESCUE_DISK = 'rescue';

type Input<Name extends keyof typeof computeContract.methods> = InputOf<(typeof computeContract.methods)[Name]>;

export interface GuestWorkOptions {
  readonly driver: Driver;
  readonly cache: ImageCache;
  /** Where the driver keeps each guest's files, by id. */
  readonly instancesDir: string;
  /** Where people look for a guest's files when several hosts share a machine: a link is made there; null: the same folder. */
  readonly linkDir: string | null;
  readonly shared: SharedDisks;
  readonly sharedBases: SharedBases | null;
}

export class GuestWork {
  readonly #options: GuestWorkOptions;

  constructor(options: GuestWorkOptions) {
    this.#options = options;
  }

  /** Makes the guest's files. Repeated: makes what is missing. */
  async create(input: Input<'createGuest'>, control: JobControl): Promise<{ keptDisks: boolean }> {
    const { driver, shared } = this.#options;
    const { serverId, imageId, diskGib, disksOf } = input;
    const disksDir = shared.dirOf(serverId);
    const kept = disksOf === undefined || disksDir === null ? null : await this.#keptDisks(serverId, disksDir, disksOf);
    if (!kept) await shared.claim(serverId);
    const dir = disksDir ?? this.#dir(serverId);
    const [disk, ...otherDisks] = kept ?? [
      await this.#diskOver({ dir, imageId, name: ROOT_DISK, leastBytes: 0, diskGib }, control),
    ];
    await this.linkGuest(serverId);
    const spec: GuestSpec = {
      id: serverId,
      name: input.name.replace(/[^A-Za-z0-9._-]/g, '-').slice(0, 60) || 'guest',
      vcpus: input.vcpus,
      memoryMib: input.memoryMib,
      disk,
      otherDisks,
      nics: input.nics,
      configDrive: input.configDrive,
      guestAgent: input.guestAgent,
      ...(disksDir !== null && { disksDir }),
    };
    await driver.create(spec, { hasDisks: kept !== null });
    if (kept && disksOf !== undefined) await shared.take(serverId, disksOf);
    await this.noteDisks(serverId);
    return { keptDisks: kept !== null };
  }

  /** Disks that a dead host left where this one sees them, without those of a rescue; null where it left none. */
  async #keptDisks(serverId: string, disksDir: string, from: string): Promise<[GuestDisk, ...GuestDisk[]] | null> {
    const { shared } = this.#options;
    const left = await shared.leftBy(serverId, from);
    if (!left) return null;
    const disks = left.filter(({ name }) => !name.startsWith(RESCUE_DISK));
    await shared.requireWhole(serverId, disksDir, disks);
    const [first, ...others] = disks.map(({ base, ...disk }) => ({ ...disk, base: join(disksDir, basename(base)) }));
    if (first) return [first, ...others];
    // It died while it made them.
    await shared.take(serverId, from);
    return null;
  }

  /** Notes for other hosts which disks the guest has now. */
  async noteDisks(serverId: string): Promise<void> {
    await this.#options.shared.noteDisks(await this.#options.driver.spec(serverId));
  }

  /** Throws unless its disks are this host's: another one may run it. */
  async requireHeld(serverId: string): Promise<void> {
    await this.#options.shared.requireHeld(await this.#options.driver.spec(serverId));
  }

  /** Who may run it, where its disks are on shared storage. */
  async disksHeldBy(serverId: string): Promise<string | undefined> {
    const { driver, shared } = this.#options;
    if ((await driver.spec(serverId))?.disksDir === undefined) return undefined;
    return (await shared.noteOf(serverId))?.host;
  }

  /** A new root disk in the place of the old one, which is kept until settled or reverted. */
  async replaceDisk(input: Input<'replaceDisk'>, control: JobControl): Promise<void> {
    const { serverId, imageId, diskName, diskGib, configDrive, guestAgent } = input;
    await this.checkOwnDisk(serverId);
    const spec = await this.#specOf(serverId);
    const dir = disksDirOf(this.#dir(serverId), spec);
    const disk = await this.#diskOver({ dir, imageId, name: diskName, leastBytes: 0, diskGib }, control);
    await this.#options.driver.reconfigure({ ...spec, disk, configDrive, guestAgent });
    await this.noteDisks(serverId);
  }

  /** A disk over the rescue image before the guest's own, until reverted. */
  async rescue(input: Input<'rescueGuest'>, control: JobControl): Promise<void> {
    const { serverId, imageId, diskName, configDrive } = input;
    const spec = await this.#specOf(serverId);
    const own = isRescue(spec) ? spec.otherDisks : [spec.disk, ...spec.otherDisks];
    const leastBytes = own[0]?.sizeBytes ?? 0;
    const dir = disksDirOf(this.#dir(serverId), spec);
    const disk = await this.#diskOver({ dir, imageId, name: diskName, leastBytes, diskGib: 0 }, control);
    await this.#options.driver.reconfigure({ ...spec, disk, otherDisks: own, configDrive, guestAgent: false });
    await this.noteDisks(serverId);
  }

  /** Its own disks alone again. Not rescued: nothing, whatever else could be taken back. */
  async endRescue(serverId: string): Promise<void> {
    const { driver } = this.#options;
    const spec = await driver.spec(serverId);
    if (spec && isRescue(spec)) await driver.revert(serverId);
  }

  /** Throws while a rescue disk is before the guest's own: what is done to its root disk would be done to that. */
  async checkOwnDisk(serverId: string): Promise<void> {
    const spec = await this.#options.driver.spec(serverId);
    if (!spec || !isRescue(spec)) return;
    throw new CloudError('conflict', {
      reason: `Server ${serverId} runs from a rescue disk, whatever its state says; a hard reboot ends that.`,
    });
  }

  /**
   * Process and files gone; disks on shared storage only where they are this host's, and did not come from `disksTo`. Absent:
   * nothing.
   */
  async destroy(serverId: string, disksTo?: string): Promise<void> {
    const { driver, linkDir, shared } = this.#options;
    // No process has them open when they go, to whomever; the guest's folder is last, so that a repeat finds what is left to do.
    if ((await driver.spec(serverId))?.disksDir !== undefined) await driver.stop(serverId, 0);
    if (disksTo !== undefined) await shared.giveBack(serverId, disksTo);
    await shared.remove(serverId);
    await driver.destroy(serverId);
    if (linkDir === null) return;
    // Another host of this machine may have it now.
    const path = join(linkDir, serverId);
    const linked = await readlink(path).catch(() => null);
    if (linked === this.#dir(serverId)) await rm(path, { force: true });
  }

  /** Lets people find the guest's files where it lives, when several hosts share a machine. */
  async linkGuest(serverId: string): Promise<void> {
    const { linkDir } = this.#options;
    if (linkDir === null) return;
    const path = join(linkDir, serverId);
    await rm(path, { force: true });
    await ensure(symlink(this.#dir(serverId), path));
  }

  async #specOf(serverId: string): Promise<GuestSpec> {
    const spec = await this.#options.driver.spec(serverId);
    if (!spec)
      throw new CloudError('hypervisorFailed', {
        what: `Guest ${serverId}`,
        reason: 'its files are gone from the host',
      });
    return spec;
  }

  /** A disk over an image, which is linked into the folder, so that the cache may drop it at any time. */
  async #diskOver(
    wanted: { dir: string; imageId: string; name: string; leastBytes: number; diskGib: number },
    { signal, onProgress }: JobControl,
  ): Promise<GuestDisk> {
    const image = await this.#options.cache.fetch(wanted.imageId, signal, onProgress);
    const flavorBytes = wanted.diskGib * GIB;
    if (flavorBytes !== 0 && flavorBytes < image.virtualSizeBytes) {
      throw new CloudError('imageUnusable', {
        id: wanted.imageId,
        reason: `its disk has ${Math.ceil(image.virtualSizeBytes / GIB)} GiB, the flavor's only ${wanted.diskGib}`,
      });
    }
    const { dir, imageId } = wanted;
    await mkdir(dir, { recursive: true });
    const base = join(dir, `base-${imageId}`);
    const { sharedBases } = this.#options;
    if (sharedBases && dirname(dir) !== this.#options.instancesDir) await sharedBases.place(image.path, imageId, base);
    else await ensure(link(image.path, base));
    const sizeBytes = flavorBytes === 0 ? Math.max(image.virtualSizeBytes, wanted.leastBytes) : flavorBytes;
    return { name: wanted.name, base, baseFormat: image.format, sizeBytes };
  }

  #dir(serverId: string): string {
    return join(this.#options.instancesDir, serverId);
  }
}

function isRescue({ disk }: GuestSpec): boolean {
  return disk.name.startsWith(RESCUE_DISK);
}

/** Making something that an earlier attempt has made already is success. */
async function ensure(making: Promise<void>): Promise<void> {
  try {
    await making;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}
