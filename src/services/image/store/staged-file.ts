/**
 * Taking over a file that is on this machine already, so that a snapshot is never copied into the store.
 *
 * The path comes from another role, so it is believed only as far as it is in the staging folder: the folder's real
 * path, no symbolic link at the end, a regular file, ours, and known by no further name under which somebody could
 * still write to it.
 */
import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, link, lstat, open, realpath, rm } from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CloudError } from '#domain/errors.ts';
import type { FileHasher } from '../hash/file-hasher.ts';
import type { StagedImage } from './image-store.ts';
import { sourceOf, syncDirectory } from './open-file.ts';

export interface OpenStaged {
  readonly path: string;
  readonly handle: FileHandle;
  readonly size: number;
  readonly inode: bigint;
  readonly isStored: boolean;
}

/** Null when there is no such file. Throws `badRequest` for what may not be taken over. */
export async function openStaged(url: string, stagingDir: string, target: string): Promise<OpenStaged | null> {
  const asked = pathOf(url);
  const parent = await absentAsNull(realpath(dirname(asked)));
  if (parent === null) return null;
  const staging = await realpath(stagingDir);
  if (parent !== staging && !parent.startsWith(staging + sep)) refuseLocation('it is outside the staging folder');
  const path = join(parent, basename(asked));
  // Non-blocking, since a pipe would wait for its writer.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const handle = await absentAsNull(open(path, flags)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ELOOP') refuseLocation('it is a symbolic link');
    throw error;
  });
  if (!handle) return null;
  try {
    return { path, handle, ...(await checkFile(handle, target)) };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function checkFile(handle: FileHandle, target: string) {
  const { found, isStored } = await namesOf(handle, target);
  if (!found.isFile()) refuseLocation('it is not a regular file');
  if (!isStored && found.nlink !== 1n) refuseLocation('it has other names');
  const me = process.geteuid?.() ?? 0;
  if (Number(found.uid) !== me) {
    if (me !== 0) refuseLocation('it belongs to another user');
    await handle.chown(me, process.getegid?.() ?? 0);
  }
  await handle.chmod(0o600);
  return { size: Number(found.size), inode: found.ino, isStored };
}

/** An earlier request changes them twice at most: it publishes, and gives up. */
const LOOKS = 10;

/** The file, and whether it is the store's, at one moment: an earlier request may be giving up what it has published. */
async function namesOf(handle: FileHandle, target: string): Promise<{ found: BigIntStats; isStored: boolean }> {
  for (let look = 0; look < LOOKS; look += 1) {
    const { nlink } = await handle.stat({ bigint: true });
    const stored = await absentAsNull(lstat(target, { bigint: true }));
    const found = await handle.stat({ bigint: true });
    const isStored = stored !== null && stored.ino === found.ino && stored.dev === found.dev;
    if (found.nlink === nlink) return { found, isStored };
  }
  return refuseLocation('its names change all the time');
}

/** The file as an incoming image that will be `target`. */
export function stagedImage(staged: OpenStaged, target: string, hasher: FileHasher): StagedImage {
  const { handle, path, size, inode, isStored } = staged;
  let isOpen = true;
  let isPublished = false;

  const close = async () => {
    if (!isOpen) return;
    isOpen = false;
    await handle.close();
  };

  return {
    sizeBytes: size,
    isStored,
    append: () => Promise.reject(new Error('a file that is taken over is complete')),
    source: (complete) => sourceOf(handle, size, complete),
    async seal() {
      const hashing = hasher.start(handle.fd).finish(size);
      // Both are waited for, whatever one of them says: the descriptor is in use.
      const [digests, synced] = await Promise.allSettled([hashing, handle.sync()]);
      if (digests.status === 'rejected') throw digests.reason;
      if (synced.status === 'rejected') throw synced.reason;
      return digests.value;
    },
    async publish() {
      await rm(target, { force: true });
      await link(path, target);
      isPublished = true;
      if ((await lstat(target, { bigint: true })).ino !== inode) refuseLocation('it was replaced meanwhile');
      await syncDirectory(dirname(target));
      await close();
    },
    async settle() {
      await close();
      await rm(path, { force: true });
      await syncDirectory(dirname(path));
    },
    async discard() {
      await close();
      if (isPublished) await rm(target, { force: true });
      isPublished = false;
    },
  };
}

function pathOf(url: string): string {
  try {
    return fileURLToPath(url);
  } catch {
    return refuseLocation('it is not a file:// URL');
  }
}

function refuseLocation(reason: string): never {
  throw new CloudError('badRequest', { reason: `The location cannot be used: ${reason}.` });
}

/** The result, or null when the file does not exist. */
async function absentAsNull<Result>(wanted: Promise<Result>): Promise<Result | null> {
  try {
    return await wanted;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw error;
  }
}
