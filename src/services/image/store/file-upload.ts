/**
 * A new file of the store: written to `<id>.partial` and renamed when it is whole, durable and wanted.
 *
 * The disk is asked to write back while bytes still come in, so that the final sync has little left to do. The hash
 * threads read through this file's descriptor, so it is closed only after they have let go of it.
 */
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { FileHasher, HashJob } from '../hash/file-hasher.ts';
import type { IncomingImage } from './image-store.ts';
import { sourceOf, syncDirectory } from './open-file.ts';

const WRITE_BACK_EVERY = 64 * 2 ** 20;

export interface FileUploadOptions {
  /** Where the image will be. */
  readonly path: string;
  readonly partial: string;
  readonly hasher: FileHasher;
}

/** Creates the partial file, empty, replacing one that is there. */
export async function fileUpload({ path, partial, hasher }: FileUploadOptions): Promise<IncomingImage> {
  await rm(partial, { force: true });
  const handle = await open(partial, 'wx+', 0o600);
  let size = 0;
  let job: HashJob | undefined = hasher.start(handle.fd);
  let isOpen = true;
  let isPublished = false;
  const writeBack = backgroundSync(handle);

  const close = async () => {
    if (!isOpen) return;
    isOpen = false;
    await writeBack.ended();
    await handle.close();
  };

  return {
    get sizeBytes() {
      return size;
    },
    async append(chunks) {
      size += await writeAll(handle, chunks, size);
      job?.announce(size);
      writeBack.wrote(size);
    },
    source: (complete) => sourceOf(handle, size, complete),
    async seal() {
      await writeBack.ended();
      const hashing = job;
      job = undefined;
      if (!hashing) throw new Error('an image can be sealed once');
      // Both are waited for, whatever one of them says: the descriptor is in use.
      const [digests, synced] = await Promise.allSettled([hashing.finish(size), handle.sync()]);
      if (digests.status === 'rejected') throw digests.reason;
      if (synced.status === 'rejected') throw synced.reason;
      return digests.value;
    },
    async publish() {
      await close();
      await rename(partial, path);
      isPublished = true;
      await syncDirectory(dirname(path));
    },
    async settle() {},
    async discard() {
      await job?.cancel();
      job = undefined;
      await close();
      await rm(isPublished ? path : partial, { force: true });
    },
  };
}

/** Writes all of the chunks at `position`, also where the kernel takes them in parts. Returns how many bytes. */
async function writeAll(handle: FileHandle, chunks: readonly Uint8Array[], position: number): Promise<number> {
  let rest = [...chunks];
  let written = 0;
  while (rest.length > 0) {
    let { bytesWritten } = await handle.writev(rest, position + written);
    written += bytesWritten;
    while (rest[0] && bytesWritten >= rest[0].byteLength) {
      bytesWritten -= rest[0].byteLength;
      rest = rest.slice(1);
    }
    if (rest[0] && bytesWritten > 0) rest[0] = rest[0].subarray(bytesWritten);
  }
  return written;
}

/** Starts a sync each time so many bytes were written, one at a time, without making the writer wait for it. */
function backgroundSync(handle: FileHandle) {
  let startedAt = 0;
  let running: Promise<void> | undefined;
  return {
    wrote(size: number) {
      if (running || size - startedAt < WRITE_BACK_EVERY) return;
      startedAt = size;
      // A disk that cannot write says so again to the sync that is waited for.
      running = handle
        .datasync()
        .catch(() => {})
        .finally(() => {
          running = undefined;
        });
    },
    async ended() {
      await running;
    },
  };
}
