/**
 * A file of the store on its way out.
 *
 * Two buffers take turns: while the client's socket takes one, the disk fills the other. They are reused as soon as
 * the socket is done with them, so a download needs 2 MiB at any size. The open descriptor keeps the bytes although
 * the image may be deleted meanwhile.
 */
import { type FileHandle, open } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import type { OpenImage } from './image-store.ts';

const BUFFER_BYTES = 2 ** 20;

/** Null when there is no such file. */
export async function fileReader(path: string): Promise<OpenImage | null> {
  let handle: FileHandle;
  try {
    handle = await open(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  const { size } = await handle.stat();
  return {
    sizeBytes: size,
    copyTo: (target, start, end) => copy(handle, target, start, end),
    close: () => handle.close(),
  };
}

async function copy(handle: FileHandle, target: Writable, start: number, end: number): Promise<void> {
  const bufferBytes = Math.min(BUFFER_BYTES, end - start);
  const buffers = [Buffer.allocUnsafeSlow(bufferBytes), Buffer.allocUnsafeSlow(bufferBytes)] as const;
  const gone = goneOf(target);
  try {
    let sending: Promise<unknown> = Promise.resolve();
    let turn = 0;
    for (let at = start; at < end; turn ^= 1) {
      const buffer = turn === 0 ? buffers[0] : buffers[1];
      const { bytesRead } = await handle.read(buffer, 0, Math.min(bufferBytes, end - at), at);
      if (bytesRead === 0) throw new Error('the file is shorter than its record');
      await Promise.race([sending, gone.promise]);
      sending = write(target, buffer.subarray(0, bytesRead));
      // It is waited for one turn later; until then a failure must not count as unhandled.
      sending.catch(() => {});
      at += bytesRead;
    }
    await Promise.race([sending, gone.promise]);
  } finally {
    gone.forget();
  }
}

export function write(target: Writable, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    target.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
}

/** Rejects when the reader has gone; a socket that is closed does not always answer a pending write. */
export function goneOf(target: Writable) {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {});
  const onClose = () => reject(new Error('the reader has gone'));
  target.once('close', onClose);
  if (target.destroyed) onClose();
  return { promise, forget: () => target.off('close', onClose) };
}
