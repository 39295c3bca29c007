/** The image inspection of `domain/image` on a file of this machine. */
import { open } from 'node:fs/promises';
import { type Inspection, inspectImage } from '#domain/image/inspect.ts';

/** Format and virtual size by the file's own headers. Throws `imageRejected` for one that is not safe to use. */
export async function inspectFile(path: string): Promise<Inspection> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    return await inspectImage({
      size,
      complete: true,
      read: async (offset, length) => {
        const buffer = Buffer.alloc(Math.min(length, Math.max(0, size - offset)));
        const { bytesRead } = await file.read(buffer, 0, buffer.length, offset);
        return buffer.subarray(0, bytesRead);
      },
    });
  } finally {
    await file.close();
  }
}
