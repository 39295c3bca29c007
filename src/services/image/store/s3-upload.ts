/**
 * An image on its way into an S3 store: each part goes as soon as it is there, and nobody sees any before all are completed.
 *
 * The bytes lie in a file of this machine meanwhile, which is where they are hashed and inspected; of those that go there is one
 * part in memory.
 */
import { CloudError } from '#domain/errors.ts';
import type { IncomingImage } from './image-store.ts';
import type { Bucket, OpenUpload } from './s3-bucket.ts';

const MIB = 2 ** 20;
/** A store takes 10000 parts of at least 5 MiB: these are 1.5 TiB. */
const PARTS = [
  { upTo: 1000, bytes: 8 * MIB },
  { upTo: 5000, bytes: 64 * MIB },
  { upTo: 10_000, bytes: 256 * MIB },
];

/** How many parts of all uploads are on their way at once. */
export interface Turns {
  run<T>(work: () => Promise<T>): Promise<T>;
}

/** `name` is the object's; `end` says what becomes of the local file when the image is settled. */
export interface S3UploadOptions {
  readonly bucket: Bucket;
  readonly name: string;
  readonly turns: Turns;
  readonly end: 'discard' | 'settle';
}

/** `local` is read here, hashed and given up, but never published. */
export function s3Upload(local: IncomingImage, { bucket, name, turns, end }: S3UploadOptions): IncomingImage {
  const tags: string[] = [];
  let sent = 0;
  let open: OpenUpload | null = null;
  let failure: unknown;
  let isEnding = false;
  let isPublished = false;
  let sending: Promise<void> | undefined;

  const sendPart = async (bytes: number) => {
    open ??= { name, uploadId: await bucket.beginParts(name) };
    const body = await local.source(true).read(sent, bytes);
    if (body.length !== bytes) throw new CloudError('serviceUnavailable', { reason: 'An upload lost its bytes.' });
    tags.push(await bucket.putPart(open, tags.length + 1, body));
    sent += bytes;
  };

  /** Sends what makes whole parts, one after the other. */
  const sendReady = async () => {
    for (let bytes = nextPart(tags.length); !isEnding && local.sizeBytes - sent >= bytes; bytes = nextPart(tags.length))
      await turns.run(() => sendPart(bytes));
  };

  const send = () => {
    sending ??= sendReady()
      .catch((error: unknown) => {
        failure ??= error;
      })
      .finally(() => {
        sending = undefined;
      });
  };

  return {
    get sizeBytes() {
      return local.sizeBytes;
    },
    async append(chunks) {
      if (failure) throw failure;
      await local.append(chunks);
      send();
    },
    source: (complete) => local.source(complete),
    async seal() {
      const digests = await local.seal();
      // What came while the last parts were sent has not been looked at; and a staged file was not at all.
      do {
        send();
        await sending;
        if (failure) throw failure;
      } while (local.sizeBytes - sent >= nextPart(tags.length));
      const rest = local.sizeBytes - sent;
      if (open && rest > 0) await turns.run(() => sendPart(rest));
      return digests;
    },
    async publish() {
      // Whatever the answer, or none: it may be there.
      isPublished = true;
      const { sizeBytes } = local;
      if (!open) return bucket.put(name, await local.source(true).read(0, sizeBytes));
      try {
        await bucket.completeParts(open, tags);
      } catch (error) {
        // Asked twice, since the first answer was lost.
        const found = await bucket.find(name);
        if (found?.sizeBytes !== sizeBytes) throw error;
      }
    },
    settle: () => local[end](),
    async discard() {
      isEnding = true;
      await sending;
      await local.discard();
      try {
        if (open) await bucket.abortParts(open);
        if (isPublished) await bucket.remove(name);
        isPublished = false;
        open = null;
      } catch {
        // The store is away. No record knows what is there; the next attempt for this image, or the next start, removes it.
      }
    },
  };
}

function nextPart(sent: number): number {
  const size = PARTS.find(({ upTo }) => sent < upTo);
  if (!size) throw new CloudError('imageTooLarge', { limit: PARTS.reduce(total, { bytes: 0, at: 0 }).bytes });
  return size.bytes;
}

function total(sum: { bytes: number; at: number }, { upTo, bytes }: { upTo: number; bytes: number }) {
  return { bytes: sum.bytes + (upTo - sum.at) * bytes, at: upTo };
}
