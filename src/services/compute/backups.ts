/**
 * Copies of disks that wait to become images: one folder per image id, made by a backup, gone with whatever is in it when
 * the image service has the copy or the snapshot is taken back.
 *
 * Where the image store is on this machine the copy is written into the store's own staging folder and handed over by
 * name, so that its bytes are written once; otherwise it is streamed.
 */
import { createReadStream } from 'node:fs';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Transform } from 'node:stream';
import { pathToFileURL } from 'node:url';
import { CloudError } from '#domain/errors.ts';
import type { ImageClient } from '#http/image-client.ts';
import type { BackupResult, Driver, JobControl } from './driver/driver.ts';

export interface BackupsOptions {
  readonly dir: string;
  /** True when `dir` is the image store's staging folder. */
  readonly isStaging: boolean;
  readonly driver: Driver;
  readonly images: ImageClient;
}

export class Backups {
  readonly #options: BackupsOptions;
  readonly #running = new Map<string, { readonly abort: AbortController; readonly ended: Promise<unknown> }>();

  constructor(options: BackupsOptions) {
    this.#options = options;
  }

  /**
   * Makes the folder, and removes the copies that nobody will ask for any more: their image is gone, or has its data.
   * Such are left by operations that were given up.
   */
  async recover(): Promise<void> {
    const { dir, images } = this.#options;
    await mkdir(dir, { recursive: true, mode: 0o700 });
    for (const imageId of await readdir(dir)) {
      // An image service that does not answer is no reason not to serve: the copy stays until the next start.
      const record = await images.find(imageId).catch(() => undefined);
      if (record === null || record?.status === 'active') await this.#remove(imageId);
    }
  }

  /** Copies the guest's disk. Repeated after a crash: begins anew. A failure leaves nothing. */
  backup(
    serverId: string,
    imageId: string,
    control: JobControl,
    options: { readonly quiesce?: 'required' } = {},
  ): Promise<BackupResult> {
    return this.#tracked(imageId, control.signal, async (signal) => {
      // Cancelled while it waited for its turn: what was to remove the copy has been here already.
      signal.throwIfAborted();
      await mkdir(this.#folder(imageId), { recursive: true, mode: 0o700 });
      try {
        return await this.#options.driver.backupDisk(serverId, this.#path(imageId), { ...control, signal }, options);
      } catch (error) {
        await this.#remove(imageId);
        throw error;
      }
    });
  }

  /** Gives the copy to the image service. Repeated after it was taken: nothing but the answer. */
  upload(imageId: string, control: JobControl): Promise<{ sizeBytes: number }> {
    return this.#tracked(imageId, control.signal, async (signal) => {
      const { images, isStaging } = this.#options;
      const path = this.#path(imageId);
      const size = await sizeOf(path);
      const record = await images.find(imageId);
      if (record?.status === 'active') {
        await this.#remove(imageId);
        return { sizeBytes: record.size ?? size ?? 0 };
      }
      if (!record) throw new CloudError('imageUnusable', { id: imageId, reason: 'it was deleted during the snapshot' });
      if (size === null)
        throw new CloudError('hypervisorFailed', {
          what: `Uploading image ${imageId}`,
          reason: 'the copy of the disk is not on the host any more',
        });
      if (isStaging) {
        control.onProgress({ done: 0, total: size });
        await images.addLocation(imageId, pathToFileURL(path).href, signal);
      } else {
        await images.upload(
          imageId,
          createReadStream(path, { highWaterMark: 1 << 20 }).pipe(counting(size, control)),
          signal,
        );
      }
      control.onProgress({ done: size, total: size });
      await this.#remove(imageId);
      return { sizeBytes: size };
    });
  }

  /** Ends what runs for the image and removes its copy. */
  async discard(imageId: string): Promise<void> {
    const running = this.#running.get(imageId);
    running?.abort.abort(new CloudError('cancelled', { reason: 'the snapshot is taken back' }));
    await running?.ended;
    await this.#remove(imageId);
  }

  async #tracked<Result>(
    imageId: string,
    outer: AbortSignal,
    work: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    await this.#running.get(imageId)?.ended;
    const abort = new AbortController();
    const run = work(AbortSignal.any([outer, abort.signal]));
    const entry = { abort, ended: run.catch(() => undefined) };
    this.#running.set(imageId, entry);
    try {
      return await run;
    } finally {
      if (this.#running.get(imageId) === entry) this.#running.delete(imageId);
    }
  }

  /** The copy, and what a killed attempt may have left beside it. */
  #remove(imageId: string): Promise<void> {
    return rm(this.#folder(imageId), { recursive: true, force: true });
  }

  #path(imageId: string): string {
    return join(this.#folder(imageId), 'disk.qcow2');
  }

  #folder(imageId: string): string {
    return join(this.#options.dir, imageId);
  }
}

async function sizeOf(path: string): Promise<number | null> {
  try {
    return (await stat(path)).size;
  } catch {
    return null;
  }
}

function counting(total: number, control: JobControl): Transform {
  let done = 0;
  return new Transform({
    highWaterMark: 1 << 20,
    transform(chunk: Buffer, _encoding, next) {
      done += chunk.length;
      control.onProgress({ done, total });
      next(null, chunk);
    },
  });
}
