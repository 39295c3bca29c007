/**
 * Brings store and records together after a crash.
 *
 * Uploads that were under way begin anew: `saving` becomes `queued`, and their bytes go. Files without a record go
 * too, except where there is no record at all: then it is more likely that this is the wrong database.
 */
import { changeStatus, listStatuses } from '#db/repo/image/images.ts';
import type { ImageContext } from './deps.ts';

/** May be repeated. Must not run while uploads do. */
export async function recoverImagesIn({ database, store, log }: ImageContext): Promise<void> {
  const images = await listStatuses(database.queries);
  for (const { id, status } of images) {
    if (status !== 'saving') continue;
    await changeStatus(database.queries, id, 'saving', 'queued');
    log.info({ image_id: id }, 'interrupted upload reset');
  }
  const kept = images.filter(({ status }) => status === 'active' || status === 'deactivated').map(({ id }) => id);
  const { removed, missing } = await store.keepOnly(images.length === 0 ? null : new Set(kept));
  if (removed.length > 0) log.info({ removed }, 'leftovers removed from the image store');
  if (missing.length > 0) log.error({ missing }, 'images without data: restore their files or delete them');
}
