/**
 * The folder of one guest, shared by all drivers: names and the one way of writing a file.
 *
 * A file here is either complete or absent: everything is written beside its place and renamed. A guest exists from the
 * moment its `spec.json` does, which is therefore written last by `create` and removed first by `destroy`.
 */

import { randomUUID } from 'node:crypto';
import { readdir, readFile, rename, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { GuestId, GuestSpec } from './driver.ts';
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

/** Reads the specification of a created guest; null when there is none (never created, or only half). */
export async function readSpec(dir: string): Promise<GuestSpec | null> {
  const text = await readIfThere(join(dir, 'spec.json'));
  // Written by ourselves in one rename, so a file that is there has this shape.
  return text === null ? null : (JSON.parse(text) as GuestSpec);
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
