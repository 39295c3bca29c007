/**
 * The serial console's log: read from its end, and kept small. QEMU appends (`O_APPEND`), so cutting the file in place is
 * safe while it writes; a guest that prints for ever can then fill no disk. Cutting loses the text, except the last part.
 */

import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { isMissing } from '../guest-files.ts';
import { openRegular } from './shared-files.ts';

/** Above this a log is cut to its last `KEEP_BYTES`. */
const MAX_BYTES = 16 * 1024 * 1024;
const KEEP_BYTES = 1024 * 1024;

/** The last `maxBytes` of a file as text; empty when there is no file. Bytes that are no UTF-8 become U+FFFD. */
export async function readTail(path: string, maxBytes: number): Promise<string> {
  const tail = await withLog(path, constants.O_RDONLY, (file) => tailBytes(file, maxBytes));
  return tail?.toString('utf8') ?? '';
}

/** Cuts a log that has grown too long; nothing happens otherwise. */
export async function boundLog(path: string): Promise<void> {
  await withLog(path, constants.O_RDWR | constants.O_APPEND, async (file) => {
    if ((await file.stat()).size <= MAX_BYTES) return;
    const tail = await tailBytes(file, KEEP_BYTES);
    await file.truncate(0);
    // Appended like QEMU's own output: what the guest printed in between stays whole, only the order may differ.
    await file.appendFile(tail);
  });
}

/** Null when there is no such log. */
async function withLog<Result>(
  path: string,
  flags: number,
  work: (file: FileHandle) => Promise<Result>,
): Promise<Result | null> {
  let file: FileHandle;
  try {
    file = await openRegular(path, flags);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
  try {
    return await work(file);
  } finally {
    await file.close();
  }
}

async function tailBytes(file: FileHandle, maxBytes: number): Promise<Buffer> {
  const { size } = await file.stat();
  const length = Math.max(0, Math.min(size, maxBytes));
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
  return buffer.subarray(0, bytesRead);
}
