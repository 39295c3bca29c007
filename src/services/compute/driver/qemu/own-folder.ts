/**
 * The folder inside a guest's folder into which QEMU's user cannot get.
 *
 * The guest's folder is shared: a QEMU that was taken over can put files there under any name that is not taken. What we believe
 * although it need not exist (a specification kept for later, a memory file with its command line) therefore lies here.
 */

import { lstat, mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DriverError } from '../driver-error.ts';
import { errorCode, isMissing, readIfThere, unlinkIfThere } from '../guest-files.ts';

const NAME = 'own';

/** Its path; made when missing. Throws when somebody else has taken the name. */
export async function ownFolder(dir: string): Promise<string> {
  const path = join(dir, NAME);
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
    if (!(await isOurs(path))) throw new DriverError('command_failed', `${path} is not a folder of ours`);
  }
  return path;
}

/** Path of a file that may be in it; null when nothing there could be ours. */
export async function ownPath(dir: string, name: string): Promise<string | null> {
  const folder = join(dir, NAME);
  return (await isOurs(folder)) ? join(folder, name) : null;
}

/** The text of a file in it; null when there is none. */
export async function readOwn(dir: string, name: string): Promise<string | null> {
  const path = await ownPath(dir, name);
  return path === null ? null : readIfThere(path);
}

/** Writes a file in it as a whole. One writer per name at a time, so that what a killed one left has a name, too. */
export async function writeOwn(dir: string, name: string, content: string): Promise<void> {
  const path = join(await ownFolder(dir), name);
  await writeFile(unfinished(path), content, { mode: 0o600 });
  await rename(unfinished(path), path);
}

/** Removes files in it, with what is unfinished of them. Not there: nothing. */
export async function removeOwn(dir: string, ...names: readonly string[]): Promise<void> {
  for (const name of names) {
    const path = await ownPath(dir, name);
    if (path === null) continue;
    await unlinkIfThere(path);
    await unlinkIfThere(unfinished(path));
  }
}

function unfinished(path: string): string {
  return `${path}.tmp`;
}

async function isOurs(path: string): Promise<boolean> {
  try {
    const found = await lstat(path);
    return found.isDirectory() && found.uid === (process.geteuid?.() ?? 0);
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}
