/** Removing an image that an operation made, where its owner may have protected it meanwhile. */
import { CloudError } from '#domain/errors.ts';
import type { Context } from './ports.ts';

/** Removes it unless somebody said that it must stay. Absent: nothing. */
export async function removeImage({ ports, signal, log }: Context, imageId: string): Promise<void> {
  try {
    await ports.images.remove(imageId, signal);
  } catch (error) {
    if (!(error instanceof CloudError) || error.code !== 'forbidden') throw error;
    log.warn({ err: error, image_id: imageId }, 'an image that is not needed any more is kept');
  }
}
