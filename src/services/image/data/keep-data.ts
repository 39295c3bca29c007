/**
 * From bytes that have arrived to an active image; the same for an upload and for a file that is taken over.
 *
 * Order: inspected, durable and hashed, published in the store, then the record says `active`. So an active image has
 * its bytes whatever happens, and what stops on the way leaves a `queued` image without any.
 */
import { changeStatus, findImage, type Image } from '#db/repo/image/images.ts';
import { CloudError } from '#domain/errors.ts';
import { NotYet } from '#domain/image/byte-source.ts';
import { type DiskFormat, holdsDiskItself } from '#domain/image/image.ts';
import { inspectImage } from '#domain/image/inspect.ts';
import type { ImageContext } from '../deps.ts';
import type { IncomingImage } from '../store/image-store.ts';

/**
 * Claims the image for one sender and answers it as it was claimed: from now on its formats cannot be changed, so what is
 * inspected is what will be active. Throws 409 when it is not `queued`, and 400 when its formats are not known.
 */
export function claim({ database }: ImageContext, id: string): Promise<Image> {
  return database.transaction(async (trx) => {
    const image = await findImage(trx, id);
    if (!image) throw new CloudError('imageNotFound', { id });
    if (image.disk_format === null || image.container_format === null) {
      const reason = 'Properties disk_format, container_format must be set prior to saving data.';
      throw new CloudError('badRequest', { reason });
    }
    if (!(await changeStatus(trx, id, 'queued', 'saving')))
      throw new CloudError('conflict', {
        reason: `Image status transition from ${image.status} to saving is not allowed`,
      });
    return { ...image, status: 'saving' };
  });
}

/** Makes a claimed image active with these bytes. Throws 404 when it was deleted meanwhile. */
export async function keepData(context: ImageContext, image: Image, incoming: IncomingImage): Promise<void> {
  const virtualSize = await inspect(context, image, incoming, true);
  const { md5, sha512 } = await incoming.seal();
  await incoming.publish();
  const active = await changeStatus(context.database.queries, image.id, 'saving', 'active', {
    size: incoming.sizeBytes,
    virtual_size: virtualSize,
    checksum: md5,
    os_hash_value: sha512,
    updated_at: context.now(),
  });
  if (!active) {
    await context.store.delete(image.id);
    throw new CloudError('imageNotFound', { id: image.id });
  }
  await incoming.settle();
}

/** Undoes a claim after a failure: no bytes, `queued` again. Returns the failure as the client should see it. */
export async function giveUp(
  { database, log }: ImageContext,
  image: Image,
  incoming: IncomingImage | null | undefined,
  thrown: unknown,
): Promise<unknown> {
  await incoming?.discard();
  await changeStatus(database.queries, image.id, 'saving', 'queued');
  log.warn({ image_id: image.id, err: thrown }, 'image data not kept');
  return storageFault(thrown);
}

/**
 * The virtual size, or null where the container hides the disk, or where (before the end) it cannot be known yet.
 * Throws `imageRejected`.
 */
export async function inspect(
  { limits }: ImageContext,
  image: Image,
  incoming: IncomingImage,
  complete: boolean,
): Promise<number | null> {
  if (!holdsDiskItself(image.container_format)) return null;
  try {
    const { virtualSizeBytes } = await inspectImage(incoming.source(complete), {
      // One of the set: the schema let nothing else in, and `claim` refused null.
      declared: image.disk_format as DiskFormat,
      maxVirtualBytes: limits.maxVirtualBytes,
    });
    return virtualSizeBytes;
  } catch (error) {
    if (error instanceof NotYet) return null;
    throw error;
  }
}

function storageFault(thrown: unknown): unknown {
  const { code } = thrown as NodeJS.ErrnoException;
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new CloudError('imageStoreFull', { reason: 'delete images or give it more space' }, { cause: thrown });
  return thrown;
}
