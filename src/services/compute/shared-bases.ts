/**
 * Images below the disks that hosts share: one file per image on the shared storage, with a hard link in the folder of every guest
 * that needs it, whichever host put it there first. Nobody counts: a file without another link that is old goes.
 */
import { randomUUID } from 'node:crypto';
import { constants, copyFile, link, mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode, isMissing } from './driver/guest-files.ts';

/** No guest is called like this. */
const FOLDER = '.bases';
const UNUSED_FOR_MS = 24 * 3_600_000;

export class SharedBases {
  readonly #dir: string;
  readonly #now: () => number;

  /** `root` is the folder that the hosts share. */
  constructor(root: string, now: () => number = Date.now) {
    this.#dir = join(root, FOLDER);
    this.#now = now;
  }

  /** Gives the image another name, below the same root; copied from `source` unless it is there. That name is taken: nothing. */
  async place(source: string, imageId: string, target: string): Promise<void> {
    if (await linked(source, target)) return;
    const shared = join(this.#dir, imageId);
    // Somebody may drop it between the making and the linking, but only once it is old.
    for (let attempt = 0; attempt < 3; attempt++) {
      if (await linked(shared, target)) return;
      await this.#bring(source, shared);
    }
    throw new Error(`${shared} cannot be kept`);
  }

  /** Drops images that no guest has, and copies that somebody did not finish. */
  async dropUnused(): Promise<void> {
    for (const name of await readdir(this.#dir).catch(() => [])) {
      const path = join(this.#dir, name);
      const found = await stat(path).catch(() => null);
      if (found && found.nlink === 1 && this.#now() - found.ctimeMs > UNUSED_FOR_MS) await rm(path, { force: true });
    }
  }

  async #bring(source: string, shared: string): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    const partial = `${shared}.${randomUUID()}.partial`;
    try {
      await copyFile(source, partial, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
      const file = await open(partial, 'r');
      await file.sync().finally(() => file.close());
      await linked(partial, shared);
    } finally {
      await rm(partial, { force: true });
    }
  }
}

/** Whether the file has the other name now; not where it is missing, or on another file system. */
async function linked(path: string, target: string): Promise<boolean> {
  try {
    await link(path, target);
    return true;
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return true;
    if (isMissing(error) || errorCode(error) === 'EXDEV') return false;
    throw error;
  }
}
