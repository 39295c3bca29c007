/** One download for all who wait for an image; it ends when nobody waits any more, and not before. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import type { ImageClient, ImageRecord } from '#http/image-client.ts';
import { ImageCache } from './image-cache.ts';

const DATA = Buffer.alloc(4096, 1);
const nothing = () => undefined;

/** A cache over an image service whose downloads wait until they are let go. */
async function slowCache() {
  const dir = await mkdtemp(join(tmpdir(), 'micronova-cache-'));
  const downloads: { readonly begun: Promise<void>; readonly signal: AbortSignal; readonly go: () => void }[] = [];
  const first = Promise.withResolvers<void>();
  const images = {
    find: async (id: string) => ({ id, status: 'active', size: DATA.length }) as ImageRecord,
    download: async (_: string, signal: AbortSignal) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      downloads.push({ begun: first.promise, signal, go: resolve });
      first.resolve();
      const bytes = async function* () {
        yield DATA.subarray(0, 100);
        await promise;
        yield DATA.subarray(100);
      };
      return { data: Readable.from(bytes()), sizeBytes: DATA.length };
    },
  };
  // The two methods that a cache calls.
  const cache = new ImageCache({ dir, images: images as unknown as ImageClient, sharedStore: null });
  await cache.recover();
  return { cache, downloads, dir, begun: first.promise, [Symbol.asyncDispose]: () => rm(dir, { recursive: true }) };
}

test('who leaves does not take the download away from the others', async () => {
  await using made = await slowCache();
  const { cache, downloads, dir } = made;
  const leaver = new AbortController();
  const first = cache.fetch('image', leaver.signal, nothing);
  await made.begun;
  const second = cache.fetch('image', new AbortController().signal, nothing);
  await new Promise((resolve) => setImmediate(resolve));
  leaver.abort(new Error('deleted'));
  await assert.rejects(first, /deleted/);
  downloads[0]?.go();
  assert.equal((await second).virtualSizeBytes, DATA.length);
  assert.deepEqual([downloads.length, await readdir(dir)], [1, ['image']]);
});

test('when all have left it ends, and the next one begins anew', async () => {
  await using made = await slowCache();
  const { cache, downloads, dir } = made;
  const leaver = new AbortController();
  const first = cache.fetch('image', leaver.signal, nothing);
  await made.begun;
  leaver.abort(new Error('deleted'));
  await assert.rejects(first, /deleted/);
  assert.ok(downloads[0]?.signal.aborted);
  downloads[0]?.go();
  const next = cache.fetch('image', new AbortController().signal, nothing);
  while (downloads.length < 2) await new Promise((resolve) => setImmediate(resolve));
  downloads[1]?.go();
  await next;
  assert.deepEqual(await readdir(dir), ['image']);
});
