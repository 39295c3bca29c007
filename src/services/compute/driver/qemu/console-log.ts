/**
 * The serial console's log: read from its end, and kept small. QEMU appends (`O_APPEND`), so cutting the file in place is
 * safe while it writes; a guest that prints for ever can then fill no disk. Cutting loses the text, except the last part.
 */

import { open, stat, truncate, writeFile } from 'node:fs/promises';
import { isMissing } from '../guest-files.ts';

/** Above this a log is cut to its last `KEEP_BYTES`. */
const MAX_BYTES = 16 * 1024 * 1024;
const KEEP_BYTES = 1024 * 1024;

/** The last `maxBytes` of a file as text; empty when there is no file. Bytes that are no UTF-8 become U+FFFD. */
export async function readTail(path: string, maxBytes: number): Promise<string> {
  return (await tailBytes(path, maxBytes)).toString('utf8');
}

/** Cuts a log that has grown too long; nothing happens otherwise. */
export async function boundLog(path: string): Promise<void> {
  try {
    if ((await stat(path)).size <= MAX_BYTES) return;
    const tail = await tailBytes(path, KEEP_BYTES);
    await truncate(path, 0);
    // Appended like QEMU's own output: what the guest printed in between stays whole, only the order may differ.
    await writeFile(path, tail, { flag: 'a' });
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

async function tailBytes(path: string, maxBytes: number): Promise<Buffer> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if (isMissing(error)) return Buffer.alloc(0);
    throw error;
  }
  try {
    const { size } = await file.stat();
    const length = Math.max(0, Math.min(size, maxBytes));
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
