/**
 * Files in a guest's folder, where a QEMU that runs as its own user may write, too.
 *
 * The folder is ours and sticky, its group is QEMU's: QEMU can make files (sockets, pid file) and can neither remove nor
 * rename ours, so what we made is what we open. What it may write (disk, console) stays ours and is lent to its group. Names that
 * are not taken are the rest of the danger: whatever is opened here is no link and no pipe, and what is made did not exist.
 */

import { constants } from 'node:fs';
import { chmod, chown, type FileHandle, lstat, open } from 'node:fs/promises';
import { DriverError } from '../driver-error.ts';
import { isMissing } from '../guest-files.ts';
import type { RunAs } from './run-as.ts';

/** Readable, writable and passable for us and QEMU's group, whose files are safe from each other (sticky). */
const SHARED_FOLDER = 0o1770;

/** For `lend`. */
export const LENT = { toRead: 0o640, toWrite: 0o660 } as const;

/** Opens a regular file; throws for a link, a pipe or a device that stands in its place, without waiting for any. */
export async function openRegular(path: string, flags: number, mode = 0o640): Promise<FileHandle> {
  const file = await open(path, flags | constants.O_NOFOLLOW | constants.O_NONBLOCK, mode);
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw new DriverError('command_failed', `${path} is not a regular file`);
}

/** Makes the folder one that QEMU's user may work in. */
export async function shareFolder(dir: string, user: RunAs): Promise<void> {
  await chown(dir, ourUid(), user.gid);
  await chmod(dir, SHARED_FOLDER);
}

/** Lets QEMU's user use a file of ours, which stays ours. */
export async function lend(path: string, user: RunAs, mode: (typeof LENT)[keyof typeof LENT]): Promise<void> {
  await owned(path, user.gid, mode);
}

/** Ends a loan: nobody but us can open the file any more, and it has no other name, under which it would be believed to be ours. */
export async function takeBack(path: string): Promise<void> {
  await owned(path, process.getegid?.() ?? 0, 0o600);
  // Looked at after that: from here on QEMU's user can give it none.
  if ((await lstat(path)).nlink !== 1) throw new DriverError('command_failed', `${path} has a second name`);
}

/** Makes an empty file unless there is one. */
export async function ensureFile(path: string): Promise<void> {
  const file = await openRegular(path, constants.O_WRONLY | constants.O_CREAT);
  await file.close();
}

/** The beginning of a file that QEMU wrote; null when there is none, and empty for what is no file. */
export async function readShort(path: string, maxBytes: number): Promise<string | null> {
  let file: FileHandle;
  try {
    file = await openRegular(path, constants.O_RDONLY);
  } catch (error) {
    return isMissing(error) ? null : '';
  }
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(maxBytes), 0, maxBytes, 0);
    return buffer.toString('latin1', 0, bytesRead);
  } finally {
    await file.close();
  }
}

async function owned(path: string, gid: number, mode: number): Promise<void> {
  const file = await openRegular(path, constants.O_RDONLY);
  try {
    await file.chown(ourUid(), gid);
    await file.chmod(mode);
  } finally {
    await file.close();
  }
}

function ourUid(): number {
  return process.geteuid?.() ?? 0;
}
