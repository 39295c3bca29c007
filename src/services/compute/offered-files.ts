/** Files that another agent holds out, and the guest that they are described with: what all ways between hosts have in common. */
import { link, lstat, mkdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Offer, OfferedGuest } from '#contracts/offer.ts';
import { CloudError } from '#domain/errors.ts';
import { fetchFiles, type WantedFile } from './channel/fetch-file.ts';
import type { GuestDisk, GuestSpec, JobControl } from './driver/driver.ts';
import { diskFile, disksOf, isMissing } from './driver/guest-files.ts';
import type { ImageCache } from './image-cache.ts';
import { inspectFile } from './inspect-file.ts';
import type { SharedDisks } from './shared-disks.ts';

/** Names that another agent gives to files: nothing that leads out of the guest's folder. */
const FILE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,120}$/;
const BASE_OF = /^base-(.+)$/;

/** What is described, and what holds its files out. */
export interface Offered {
  readonly serverId: string;
  readonly offer: Offer;
  readonly guest: OfferedGuest;
}

/** A guest as it is described to another agent. */
export function describe(spec: GuestSpec, files: OfferedGuest['files']): OfferedGuest {
  const { name, nics, configDrive, guestAgent } = spec;
  const disks = disksOf(spec).map((disk) => ({
    name: disk.name,
    base: basename(disk.base),
    baseFormat: disk.baseFormat,
    sizeBytes: disk.sizeBytes,
  }));
  return { name, nics: [...nics], configDrive, guestAgent, disks, files };
}

/** The other way about: a specification over the files in that folder, but for the size of it. */
export function specOf({ serverId, guest }: Offered, dir: string): Omit<GuestSpec, 'vcpus' | 'memoryMib'> {
  const [disk, ...otherDisks] = guest.disks.map(({ base, ...each }): GuestDisk => ({ ...each, base: join(dir, base) }));
  if (!disk) throw new CloudError('badRequest', { reason: `Guest ${serverId} is offered without a disk` });
  const { name, nics, configDrive, guestAgent } = guest;
  return { id: serverId, name, nics, configDrive, guestAgent, disk, otherDisks };
}

/**
 * Gets the files into the guest's folder; a base that is in the host's cache need not come. Answers how many bytes came. A host
 * trusts no other with what it hands to QEMU: bases are inspected like uploads.
 */
export async function fetchOffered(
  { serverId, offer, guest }: Offered,
  dir: string,
  cache: ImageCache,
  control: JobControl,
): Promise<number> {
  checkNames(serverId, guest);
  await mkdir(dir, { recursive: true, mode: 0o750 });
  const wanted: WantedFile[] = [];
  for (const file of guest.files)
    if (!(await hasBase(cache, dir, file.name))) wanted.push({ ...file, target: join(dir, file.name) });
  const total = wanted.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let done = 0;
  await fetchFiles(offer, wanted, control.signal, (bytes) => {
    done += bytes;
    control.onProgress({ done, total });
  });
  await checkBases(serverId, guest, dir);
  return total;
}

/** Finds the files where they are, on storage that the other agent sees, too; as little trusted. */
export async function findShared(
  { serverId, guest }: Pick<Offered, 'serverId' | 'guest'>,
  dir: string,
  shared: SharedDisks,
): Promise<void> {
  checkNames(serverId, guest);
  await shared.requireWhole(serverId, dir, guest.disks);
  await checkBases(serverId, guest, dir);
}

function checkNames(serverId: string, { files, disks }: OfferedGuest): void {
  const ofDisks = disks.flatMap(({ name, base }) => [diskFile(name), base]);
  for (const name of [...files.map((file) => file.name), ...ofDisks])
    if (!FILE.test(name))
      throw new CloudError('badRequest', { reason: `Guest ${serverId}: no file can be named ${name}` });
}

async function checkBases(serverId: string, { disks }: OfferedGuest, dir: string): Promise<void> {
  for (const { base } of disks) await checkBase(serverId, join(dir, base));
}

/** Whether the file is the base that it is named after: of an image nothing ever changes. */
async function hasBase(cache: ImageCache, dir: string, name: string): Promise<boolean> {
  const imageId = BASE_OF.exec(name)?.[1];
  if (imageId === undefined) return false;
  // An earlier attempt brought it: it gets its name when it is whole.
  if (await isThere(join(dir, name))) return true;
  const cached = await cache.find(imageId);
  if (!cached) return false;
  try {
    await link(cached.path, join(dir, name));
    return true;
  } catch (error) {
    // Dropped from the cache just now.
    if (isMissing(error)) return false;
    throw error;
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isFile();
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

async function checkBase(serverId: string, path: string): Promise<void> {
  const { format } = await inspectFile(path);
  if (format !== 'qcow2' && format !== 'raw')
    throw new CloudError('imageUnusable', {
      id: serverId,
      reason: `${basename(dirname(path))} came over a base of format ${format}`,
    });
}
