/**
 * Images as objects of an S3-compatible store: `<prefix><id>`.
 *
 * An upload is an upload in parts, which the store makes one object of, or nothing. A folder of this machine has what is on its way
 * (`<id>.partial`), and `staging/`, where files wait to be taken over, which here means to be uploaded. Who reads an image that is
 * deleted meanwhile may be cut off, as the store likes; other bytes nobody gets.
 */
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type FileHasher, fileHasher } from '../hash/file-hasher.ts';
import { fileUpload } from './file-upload.ts';
import type { ImageStore } from './image-store.ts';
import { Bucket, type BucketOptions } from './s3-bucket.ts';
import { s3Reader } from './s3-reader.ts';
import { s3Upload, type Turns } from './s3-upload.ts';
import { openStaged, stagedImage } from './staged-file.ts';

const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const PARTIAL = '.partial';
/** Each has its part in memory. */
const PARTS_AT_ONCE = 8;

export interface S3StoreOptions extends BucketOptions {
  /** Folder of this process; needs room for what is uploaded at the same time. */
  readonly spoolDir: string;
}

/** Touches nothing until it is asked to; `keepOnly` makes the folders. */
export function s3Store({ spoolDir, ...options }: S3StoreOptions, hasher: FileHasher = fileHasher()): ImageStore {
  const bucket = new Bucket(options);
  const turns = turnsOf(PARTS_AT_ONCE);
  const stagingDir = join(spoolDir, 'staging');

  /** Ids come from records, whose ids are UUIDs; this keeps a mistake from becoming a path. */
  const spoolOf = (id: string) => {
    if (!ID.test(id)) throw new TypeError(`${id} is not an image id`);
    return join(spoolDir, id);
  };

  return {
    async openWrite(id) {
      const path = spoolOf(id);
      for (const upload of await bucket.uploads(id)) await bucket.abortParts(upload);
      const local = await fileUpload({ path, partial: path + PARTIAL, hasher });
      return s3Upload(local, { bucket, name: id, turns, end: 'discard' });
    },
    async takeOver(id, url) {
      const path = spoolOf(id);
      const staged = await openStaged(url, stagingDir, path);
      if (!staged) return null;
      try {
        const [found, { mtimeMs }] = [await bucket.find(id), await staged.handle.stat()];
        // The store knows no files: the same size, and made before the object was, is what can be told.
        const isStored = found?.sizeBytes === staged.size && mtimeMs < found.changedAt + 1000;
        const local = stagedImage(staged, path, hasher);
        const incoming = s3Upload(local, { bucket, name: id, turns, end: 'settle' });
        return {
          isStored,
          get sizeBytes() {
            return incoming.sizeBytes;
          },
          append: (chunks) => incoming.append(chunks),
          source: (complete) => incoming.source(complete),
          seal: () => incoming.seal(),
          publish: () => incoming.publish(),
          settle: () => incoming.settle(),
          discard: () => incoming.discard(),
        };
      } catch (error) {
        await staged.handle.close();
        throw error;
      }
    },
    openRead: (id) => {
      spoolOf(id);
      return s3Reader(bucket, id);
    },
    delete: (id) => {
      spoolOf(id);
      return bucket.remove(id);
    },
    async keepOnly(ids) {
      await mkdir(stagingDir, { recursive: true, mode: 0o700 });
      const partials = (await readdir(spoolDir)).filter((name) => name.endsWith(PARTIAL));
      for (const name of partials) await rm(join(spoolDir, name), { force: true });
      const uploads = (await bucket.uploads()).filter(({ name }) => ID.test(name));
      for (const upload of uploads) await bucket.abortParts(upload);
      const found = new Set((await bucket.names()).filter((name) => ID.test(name)));
      const orphans = ids === null ? [] : [...found].filter((id) => !ids.has(id));
      for (const id of orphans) await bucket.remove(id);
      const unfinished = new Set([...partials, ...uploads.map(({ name }) => name + PARTIAL)]);
      return { removed: [...unfinished, ...orphans], missing: [...(ids ?? [])].filter((id) => !found.has(id)) };
    },
    async close() {
      await Promise.all([hasher.close(), bucket.close()]);
    },
  };
}

/** Lets so many work at once; the rest wait in their order. */
function turnsOf(most: number): Turns {
  const waiting: (() => void)[] = [];
  let running = 0;
  return {
    async run(work) {
      if (running >= most) await new Promise<void>((resolve) => waiting.push(resolve));
      else running += 1;
      try {
        return await work();
      } finally {
        const next = waiting.shift();
        if (next) next();
        else running -= 1;
      }
    },
  };
}
