/** What uploads and taken-over files have in common: an open file that is read for inspection, synced and hashed. */
import { type FileHandle, open } from 'node:fs/promises';
import type { ByteSource } from '#domain/image/byte-source.ts';

/** The first `size` bytes of the file. */
export function sourceOf(handle: FileHandle, size: number, complete: boolean): ByteSource {
  return {
    size,
    complete,
    async read(offset, length) {
      const buffer = new Uint8Array(Math.max(0, Math.min(length, size - offset)));
      if (buffer.length === 0) return buffer;
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, offset);
      return buffer.subarray(0, bytesRead);
    },
  };
}

/** Makes a rename, link or unlink in `dir` durable. */
export async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
