/**
 * The image role: Glance's v2 API over records in the database and bytes in a store.
 *
 * What must stay true: an active image has all its bytes and their hashes; nothing else has any. Another project's
 * private image does not exist. No image can make QEMU open a file that is not the image.
 */
import { imageFault } from '#http/fault.ts';
import type { Service } from '#http/server.ts';
import { actionRoutes } from './actions.ts';
import { downloadRoutes } from './data/download.ts';
import { locationRoutes } from './data/locations.ts';
import { uploadRoutes } from './data/upload.ts';
import { type ImageDeps, imageContext } from './deps.ts';
import { discoveryRoutes } from './discovery.ts';
import { memberRoutes } from './members.ts';
import { createRoutes } from './records/create.ts';
import { listRoutes } from './records/list.ts';
import { patchRoutes } from './records/patch.ts';
import { showRoutes } from './records/show.ts';
import { recoverImagesIn } from './recover-images.ts';
import { tagRoutes } from './tags.ts';

/** Makes the store ready and undoes what a crash left half done; called once, before the service is served. */
export function recoverImages(deps: ImageDeps): Promise<void> {
  return recoverImagesIn(imageContext(deps));
}

/** Describes the service; does nothing until a request comes. */
export function imageService(deps: ImageDeps): Service {
  const context = imageContext(deps);
  return {
    name: 'glance-api',
    prefix: '/image',
    fault: imageFault,
    log: deps.log,
    routes: [
      ...discoveryRoutes(),
      ...listRoutes(context),
      ...createRoutes(context),
      ...showRoutes(context),
      ...patchRoutes(context),
      ...uploadRoutes(context),
      ...downloadRoutes(context),
      ...locationRoutes(context),
      ...memberRoutes(context),
      ...tagRoutes(context),
      ...actionRoutes(context),
    ],
  };
}
