/**
 * The note beside the disks of one guest on storage that hosts share (`holder.json`): whose they are, and which. It is written
 * whole or not at all, and QEMU cannot write where it lies.
 */
import { randomUUID } from 'node:crypto';
import { open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { isMissing } from './driver/guest-files.ts';

export const NOTE = 'holder.json';

/** A disk as the note names it; its base lies beside it. */
export interface NotedDisk {
  readonly name: string;
  readonly base: string;
  readonly baseFormat: 'qcow2' | 'raw';
  readonly sizeBytes: number;
}

export interface DiskNote {
  /** Alone runs the guest, and alone removes the disks. */
  readonly host: string;
  /** Held them before, and gets them back when the move fails; missing where they were made. */
  readonly takenFrom?: string;
  /** All that the guest has, the one it boots from first; none before it is made. */
  readonly disks: readonly NotedDisk[];
}

/** Null where nobody holds anything. */
export async function readNote(dir: string): Promise<DiskNote | null> {
  try {
    return JSON.parse(await readFile(join(dir, NOTE), 'utf8')) as DiskNote; // written below
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** Safe also when the host loses its power right afterwards. */
export async function writeNote(dir: string, note: DiskNote): Promise<void> {
  const unfinished = join(dir, `${NOTE}.${randomUUID()}.tmp`);
  const file = await open(unfinished, 'wx', 0o600);
  try {
    await file.writeFile(JSON.stringify(note));
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(unfinished, join(dir, NOTE));
}
