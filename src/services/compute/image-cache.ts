/**
 * The host's images: fetched once however many guests wait for one, kept for the next, checked again before use.
 *
 * A guest's base is a hard link to the cached file, so the cache may drop an image at any time and no guest notices.
 * Where the image store is on the same file system the cached file is a link as well, and nothing is copied.
 */
import { createWriteStream } from 'node:fs';
import { link, mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CloudError } from '#domain/errors.ts';
import type { ImageClient } from '#http/image-client.ts';
import type { ByteProgress } from './driver/driver.ts';
import { inspectFile } from './inspect-file.ts';

export interface CachedImage {
  readonly path: string;
  readonly format: 'qcow2' | 'raw';
  readonly virtualSizeBytes: number;
}

export interface ImageCacheOptions {
  readonly dir: string;
  readonly images: ImageClient;
  /** Folder of the image store when this host sees it; null: images come over HTTP. */
  readonly sharedStore: string | null;
  readonly now?: () => number;
}

/** A download and those who wait for it; it is nobody's own. */
interface Fetching {
  readonly image: Promise<CachedImage>;
  readonly abort: AbortController;
  readonly waiting: Set<(progress: ByteProgress) => void>;
}

const UNUSED_FOR_MS = 24 * 3_600_000;

export class ImageCache {
  readonly #options: ImageCacheOptions;
  readonly #fetching = new Map<string, Fetching>();

  constructor(options: ImageCacheOptions) {
    this.#options = options;
  }

  /** Removes what a killed download left behind. */
  async recover(): Promise<void> {
    await mkdir(this.#options.dir, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.#options.dir)) {
      if (name.endsWith('.partial')) await rm(join(this.#options.dir, name), { force: true });
    }
  }

  /** The image in the cache, fetched if need be. All who wait share one download; it ends when nobody waits any more. */
  async fetch(
    id: string,
    signal: AbortSignal,
    onProgress: (progress: ByteProgress) => void,
  ): Promise<CachedImage & { cached: boolean }> {
    signal.throwIfAborted();
    // One that everybody left is not joined, but must be over before the next writes to the same file.
    for (let left = this.#fetching.get(id); left?.abort.signal.aborted; left = this.#fetching.get(id))
      await left.image.catch(() => undefined);
    const known = this.#fetching.has(id) ? null : await this.find(id);
    if (known) return { ...known, cached: true };
    const joins = this.#fetching.has(id);
    const fetching = this.#fetching.get(id) ?? this.#begin(id);
    const told = (progress: ByteProgress) => onProgress(progress);
    fetching.waiting.add(told);
    const gaveUp = Promise.withResolvers<never>();
    const onAbort = () => gaveUp.reject(signal.reason);
    signal.addEventListener('abort', onAbort);
    try {
      return { ...(await Promise.race([fetching.image, gaveUp.promise])), cached: joins };
    } finally {
      signal.removeEventListener('abort', onAbort);
      fetching.waiting.delete(told);
      if (fetching.waiting.size === 0) fetching.abort.abort(signal.reason);
    }
  }

  #begin(id: string): Fetching {
    const abort = new AbortController();
    const waiting: Fetching['waiting'] = new Set();
    const onProgress = (progress: ByteProgress) => {
      for (const tell of waiting) tell(progress);
    };
    const image = this.#fetch(id, abort.signal, onProgress).finally(() => this.#fetching.delete(id));
    // When everybody has left, its failure is nobody's concern.
    image.catch(() => undefined);
    const fetching = { image, abort, waiting };
    this.#fetching.set(id, fetching);
    return fetching;
  }

  /** The image if it is in the cache. Marks it as used. */
  async find(id: string): Promise<CachedImage | null> {
    const path = this.#path(id);
    try {
      const now = new Date(this.#now());
      await utimes(path, now, now);
    } catch {
      return null;
    }
    return this.#inspect(id, path);
  }

  /** Drops images that no launch has used for a day. */
  async dropUnused(): Promise<void> {
    for (const name of await readdir(this.#options.dir)) {
      // A linked file has its age from the store.
      if (name.endsWith('.partial')) continue;
      const path = join(this.#options.dir, name);
      const { mtimeMs } = await stat(path);
      if (this.#now() - mtimeMs > UNUSED_FOR_MS) await rm(path, { force: true });
    }
  }

  async #fetch(id: string, signal: AbortSignal, onProgress: (progress: ByteProgress) => void): Promise<CachedImage> {
    const { images, sharedStore } = this.#options;
    const record = await images.find(id);
    if (!record) throw new CloudError('imageUnusable', { id, reason: 'it does not exist any more' });
    if (record.status !== 'active') throw new CloudError('imageUnusable', { id, reason: `it is ${record.status}` });
    const partial = `${this.#path(id)}.partial`;
    await rm(partial, { force: true });
    const linked = sharedStore !== null && (await isLinked(join(sharedStore, id), partial));
    if (!linked) await this.#download(id, partial, signal, onProgress);
    try {
      const image = await this.#inspect(id, partial);
      const now = new Date(this.#now());
      await utimes(partial, now, now);
      await rename(partial, this.#path(id));
      return { ...image, path: this.#path(id) };
    } catch (error) {
      await rm(partial, { force: true });
      throw error;
    }
  }

  async #download(
    id: string,
    target: string,
    signal: AbortSignal,
    onProgress: (progress: ByteProgress) => void,
  ): Promise<void> {
    const { data, sizeBytes } = await this.#options.images.download(id, signal);
    let done = 0;
    const count = new Transform({
      transform(chunk: Buffer, _encoding, next) {
        done += chunk.length;
        onProgress({ done, total: sizeBytes ?? done });
        next(null, chunk);
      },
    });
    try {
      await pipeline(data, count, createWriteStream(target, { mode: 0o600, flush: true }), { signal });
      if (sizeBytes !== null && done !== sizeBytes) {
        throw new CloudError('serviceUnavailable', {
          reason: `Image ${id} broke off after ${done} of ${sizeBytes} bytes.`,
        });
      }
    } catch (error) {
      await rm(target, { force: true });
      throw error;
    }
  }

  /** The same inspection as at upload: a host trusts no store with what it hands to QEMU. */
  async #inspect(id: string, path: string): Promise<CachedImage> {
    const { format, virtualSizeBytes } = await inspectFile(path);
    if (format !== 'qcow2' && format !== 'raw') {
      throw new CloudError('imageUnusable', {
        id,
        reason: `disk format ${format} cannot be booted here; convert it to qcow2 or raw`,
      });
    }
    return { path, format, virtualSizeBytes };
  }

  #path(id: string): string {
    return join(this.#options.dir, id);
  }

  #now(): number {
    return this.#options.now?.() ?? Date.now();
  }
}

async function isLinked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch {
    // Another file system, or no longer there: the download tells which.
    return false;
  }
}
