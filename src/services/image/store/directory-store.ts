/**
 * Images as files of one directory: `<id>`, mode 0600.
 *
 * An upload is written to `<id>.partial`, made durable (file, then folder) and renamed. A file that is taken over is
 * linked in from `staging/` and unlinked there only after the record says that the image is active: a crash in between
 * leaves the file where its owner will offer it again, and never a second copy.
 */
import type { BigIntStats } from 'node:fs';
import { lstat, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type FileHasher, fileHasher } from '../hash/file-hasher.ts';
import { fileReader } from './file-reader.ts';
import { fileUpload } from './file-upload.ts';
import type { ImageStore } from './image-store.ts';
import { openStaged, stagedImage } from './staged-file.ts';

const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const PARTIAL = '.partial';

/** Touches nothing until it is asked to; `keepOnly` makes the folders. */
export function directoryStore(dir: string, hasher: FileHasher = fileHasher()): ImageStore {
  const stagingDir = join(dir, 'staging');

  /** Ids come from records, whose ids are UUIDs; this keeps a mistake from becoming a path. */
  const pathOf = (id: string) => {
    if (!ID.test(id)) throw new TypeError(`${id} is not an image id`);
    return join(dir, id);
  };

  return {
    openWrite: (id) => fileUpload({ path: pathOf(id), partial: pathOf(id) + PARTIAL, hasher }),
    async takeOver(id, url) {
      const path = pathOf(id);
      const staged = await openStaged(url, stagingDir, path);
      return staged && stagedImage(staged, path, hasher);
    },
    openRead: (id) => fileReader(pathOf(id)),
    delete: (id) => rm(pathOf(id), { force: true }),
    async keepOnly(ids) {
      await mkdir(stagingDir, { recursive: true, mode: 0o700 });
      const names = await readdir(dir);
      const found = new Set(names.filter((name) => ID.test(name)));
      const partials = names.filter((name) => name.endsWith(PARTIAL) && ID.test(name.slice(0, -PARTIAL.length)));
      const orphans = ids === null ? [] : [...found].filter((id) => !ids.has(id));
      const removed = [...partials, ...orphans];
      for (const name of removed) await rm(join(dir, name), { force: true });
      // Only those that the record knows: whatever is linked in at this moment is not an image yet.
      await removeSettled(stagingDir, dir, ids ?? found);
      return { removed, missing: [...(ids ?? [])].filter((id) => !found.has(id)) };
    },
    close: () => hasher.close(),
  };
}

/** Staged files that are images already: a crash came between the record and the unlink. */
async function removeSettled(stagingDir: string, imagesDir: string, ids: ReadonlySet<string>): Promise<void> {
  const stored = new Set<bigint>();
  for (const name of await readdir(imagesDir))
    if (ids.has(name)) stored.add((await lstat(join(imagesDir, name), { bigint: true })).ino);
  for (const name of await readdir(stagingDir, { recursive: true })) {
    const path = join(stagingDir, name);
    const found = await statsOf(path);
    if (found?.isFile() && stored.has(found.ino)) await rm(path, { force: true });
  }
}

/** Null for what is gone: the folder belongs to others as well, who may be working in it now. */
async function statsOf(path: string): Promise<BigIntStats | null> {
  try {
    return await lstat(path, { bigint: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
