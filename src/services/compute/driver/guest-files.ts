/**
 * The folder of one guest, shared by all drivers: names and the one way of writing a file.
 *
 * A file here is either complete or absent: everything is written beside its place and renamed. A guest exists from the
 * moment its `spec.json` does, which is therefore written last by `create` and removed first by `destroy`.
 */

import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, readdir, readFile, rename, stat, unlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { GuestDisk, GuestId, GuestSpec } from './driver.ts';
import { DriverError } from './driver-error.ts';

const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** The folder of a guest. Throws `bad_spec` for an id that could leave `instancesDir` or a command line's word. */
export function guestDir(instancesDir: string, id: GuestId): string {
  if (!ID.test(id)) {
    throw new DriverError(
      'bad_spec',
      `Guest id ${JSON.stringify(id)}: 1 to 64 letters, digits, ".", "_" or "-" needed`,
    );
  }
  return join(instancesDir, id);
}

/** Ids of the folders under `instancesDir`; empty when that folder does not exist yet. Whole guests or not. */
export async function listGuestIds(instancesDir: string): Promise<GuestId[]> {
  try {
    const entries = await readdir(instancesDir, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory() && ID.test(entry.name)).map((entry) => entry.name);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** Reads the specification of a created guest; null when there is none (never created, or only half) that is ours. */
export async function readSpec(dir: string): Promise<GuestSpec | null> {
  const text = await readLasting(dir, 'spec.json');
  return text === null ? null : parseSpec(text);
}

/**
 * The text of a file in a guest's folder that only the folder's owner can have put there: QEMU's user may make files there, too.
 * Null when there is no such file.
 */
export async function readLasting(dir: string, name: string): Promise<string | null> {
  const file = await openLasting(dir, name);
  try {
    return (await file?.readFile('utf8')) ?? null;
  } finally {
    await file?.close();
  }
}

/** Whether there is something for `readLasting`. */
export async function isLasting(dir: string, name: string): Promise<boolean> {
  const file = await openLasting(dir, name);
  await file?.close();
  return file !== null;
}

async function openLasting(dir: string, name: string): Promise<FileHandle | null> {
  let file: FileHandle;
  try {
    file = await open(join(dir, name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    // The latter two: a link, and a socket.
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'].includes(errorCode(error) ?? '')) return null;
    throw error;
  }
  try {
    const [found, folder] = await Promise.all([file.stat(), stat(dir)]);
    // What others may write can have come here by a second name (see `takeBack` for what they could write once).
    const isOurs = found.uid === folder.uid && (found.mode & 0o022) === 0;
    if (found.isFile() && isOurs) return file;
  } catch (error) {
    await file.close();
    throw error;
  }
  await file.close();
  return null;
}

/** A specification from the text of its file, also from one of the time when a guest had one disk and no agent. */
export function parseSpec(text: string): GuestSpec {
  // Written by ourselves in one rename, so a file that is there has this shape.
  const spec = JSON.parse(text) as GuestSpec;
  return {
    ...spec,
    disk: { ...spec.disk, name: spec.disk.name ?? 'disk' },
    otherDisks: spec.otherDisks ?? [],
    guestAgent: spec.guestAgent ?? false,
  };
}

/** All disks of a guest in the order in which it sees them. */
export function disksOf(spec: GuestSpec): readonly GuestDisk[] {
  return [spec.disk, ...spec.otherDisks];
}

/** The file of a disk in its guest's folder. */
export function diskFile(name: string): string {
  return `${name}.qcow2`;
}

/** The folder in which a guest's disks lie; `dir` is its own. */
export function disksDirOf(dir: string, { disksDir }: Pick<GuestSpec, 'disksDir'>): string {
  return disksDir ?? dir;
}

/** Names of the files in `dir`, the folder of the guest's disks, that these specifications need there: disks, and bases that lie in it. */
export function filesNeeded(dir: string, ...specs: readonly (GuestSpec | null)[]): Set<string> {
  const disks = specs.flatMap((spec) => (spec ? disksOf(spec) : []));
  return new Set(
    disks.flatMap(({ name, base }) => [diskFile(name), ...(dirname(base) === dir ? [basename(base)] : [])]),
  );
}

/** Writes a file as a whole: readers see the old or the new content, also after a kill. Mode 0640. */
export async function writeFileAtomic(path: string, content: string | Uint8Array): Promise<void> {
  // Nobody who may write in the folder can have put a link there.
  const temporary = `${path}.${randomUUID()}.tmp`;
  await writeFile(temporary, content, { mode: 0o640, flag: 'wx' });
  await rename(temporary, path);
}

/** The text of a file; null when it is not there. */
export async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** Removes a file; nothing happens when it is not there. */
export async function unlinkIfThere(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

/** True for the error of a path that does not exist. */
export function isMissing(error: unknown): boolean {
  return errorCode(error) === 'ENOENT';
}

/** The `code` of a system error (`ENOENT`, `EPIPE`, …), or undefined for anything else. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
