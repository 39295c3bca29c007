/**
 * An object of an S3 store on its way out, at the reader's pace. A connection that breaks is taken up where it broke; the tag makes sure
 * that it is the same bytes.
 */
import type { Writable } from 'node:stream';
import { goneOf, write } from './file-reader.ts';
import type { OpenImage } from './image-store.ts';
import type { Bucket } from './s3-bucket.ts';

/** In a row, without a byte in between. */
const ATTEMPTS = 3;

/** Null when there is no such object. */
export async function s3Reader(bucket: Bucket, name: string): Promise<OpenImage | null> {
  const found = await bucket.find(name);
  if (!found) return null;
  return {
    sizeBytes: found.sizeBytes,
    async copyTo(target, start, end) {
      let at = start;
      for (let failed = 0; at < end; ) {
        const before = at;
        try {
          const body = await bucket.read(name, found, at, end);
          for await (const chunk of readable(body, target)) {
            await write(target, chunk);
            at += chunk.byteLength;
          }
          if (at < end) throw new Error('the store sent less than it has');
        } catch (error) {
          failed = at > before ? 0 : failed + 1;
          if (target.destroyed || target.errored || failed >= ATTEMPTS) throw error;
        }
      }
    },
    close: async () => undefined,
  };
}

/** Ends with an error when the one who reads has gone, whether or not anything comes. */
async function* readable(body: AsyncIterable<Uint8Array> & { destroy(error?: Error): unknown }, target: Writable) {
  const gone = goneOf(target);
  gone.promise.catch((error: Error) => body.destroy(error));
  try {
    yield* body;
  } finally {
    gone.forget();
    body.destroy();
  }
}
