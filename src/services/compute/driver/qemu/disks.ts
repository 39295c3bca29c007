/**
 * A guest's disks: each an empty layer over a base image that nobody ever writes.
 *
 * An existing disk is never replaced. A base that names other files is refused: opening it would let an image's author
 * read files of the host (CVE-2024-32498).
 */

import { constants, copyFile, rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { GuestDisk, GuestSpec } from '../driver.ts';
import { DriverError } from '../driver-error.ts';
import { diskFile, disksDirOf, disksOf, isMissing } from '../guest-files.ts';
import { readQcow2Header, writeEmptyQcow2 } from '../qcow2.ts';
import { diskChain } from './argv.ts';
import { readMove } from './move-note.ts';
import { asUser, type RunAs } from './run-as.ts';
import type { Spawner } from './spawner.ts';

/** For a helper that reads what guests wrote. */
const LIMITS = { addressSpaceMib: 2048, cpuSeconds: 600 };

/** What files are made with: programs, and whom QEMU runs as. */
export interface Tools {
  readonly spawner: Spawner;
  readonly user: RunAs | null;
  /** The disks are there and are not made; `inUse`: another host's QEMU has them open, and they are left as they are. */
  readonly hasDisks?: boolean | 'inUse';
}

/** Makes the disk's file in that folder unless it is there. Throws `bad_base_image` or `bad_spec` (disk smaller than its base). */
export async function ensureDisk(dir: string, { name, base, baseFormat, sizeBytes, copyOf }: GuestDisk): Promise<void> {
  const path = join(dir, diskFile(name));
  // A file without a header was cut off by a host failure before any guest used it.
  if (await readQcow2Header(path)) return;
  const partial = `${path}.partial`;
  if (copyOf !== undefined) {
    await rm(partial, { force: true });
    await copyFile(join(dir, diskFile(copyOf)), partial, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    await rename(partial, path);
    return;
  }
  const baseSize = await checkBase(base, baseFormat);
  if (sizeBytes < baseSize) {
    throw new DriverError(
      'bad_spec',
      `Disk of ${sizeBytes} bytes is smaller than its base ${base} (${baseSize} bytes)`,
    );
  }
  await writeEmptyQcow2(partial, sizeBytes, { path: base, format: baseFormat });
  await rename(partial, path);
}

/** Throws `guest_damaged` unless the disk is there, with all of it in one file. */
export async function requireDisk(dir: string, { name }: GuestDisk): Promise<void> {
  const header = await readQcow2Header(join(dir, diskFile(name)));
  if (!header || header.externalDataFile)
    throw new DriverError('guest_damaged', `${diskFile(name)} in ${dir} is no disk that can be used here`);
}

/**
 * Grows a disk that is smaller than it should be: one that came from another host, or is a copy. Its header was written by a
 * QEMU, so the program that reads it is as little trusted, and opens nothing because the header says so. `qemu-img resize`.
 */
export async function growDisk(dir: string, disk: GuestDisk, { spawner, user }: Tools): Promise<void> {
  const path = join(dir, diskFile(disk.name));
  const header = await readQcow2Header(path);
  if (!header || header.externalDataFile)
    throw new DriverError('command_failed', `${path} is no disk that can be used here`);
  if (header.virtualSizeBytes >= disk.sizeBytes) return;
  const chain = `json:${JSON.stringify(diskChain(disk, 0, dir))}`;
  const words = ['qemu-img', 'resize', '-q', chain, String(disk.sizeBytes)];
  await spawner.run(user ? [...asUser(user), ...words] : words, { cwd: dir, limits: LIMITS });
}

/** Whether the disk has a file, of whatever content. */
export async function hasDisk(dir: string, { name }: GuestDisk): Promise<boolean> {
  return isThere(join(dir, diskFile(name)));
}

/**
 * Which of the files of its disks a guest has lost, in words; null when they are all there. What was to come from another host,
 * and has no process any more by which it could, is lost, too.
 */
export async function damageOf(
  dir: string,
  spec: GuestSpec,
  { hasProcess }: { readonly hasProcess: boolean },
): Promise<string | null> {
  if (!hasProcess && (await readMove(dir))?.to === 'here') return 'it has not come from the other host as a whole';
  for (const disk of disksOf(spec)) {
    if (!(await hasDisk(disksDirOf(dir, spec), disk))) return `its file ${diskFile(disk.name)} is missing`;
    if (!(await isThere(disk.base)))
      return `the image ${basename(disk.base)} below its ${diskFile(disk.name)} is missing`;
  }
  return null;
}

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** Virtual size of a base image in bytes, or `bad_base_image`. */
async function checkBase(base: string, format: 'qcow2' | 'raw'): Promise<number> {
  if (format === 'raw') {
    try {
      return (await stat(base)).size;
    } catch (error) {
      if (isMissing(error)) throw new DriverError('bad_base_image', `Base image ${base} does not exist`);
      throw error;
    }
  }
  const header = await readQcow2Header(base);
  if (!header) throw new DriverError('bad_base_image', `Base image ${base} is missing or not a qcow2 image`);
  if (header.backingFile !== null || header.externalDataFile) {
    throw new DriverError('bad_base_image', `Base image ${base} refers to another file, which is not allowed`);
  }
  return header.virtualSizeBytes;
}
