/** GET and DELETE of one image. */
import { deleteImage } from '#db/repo/image/images.ts';
import { CloudError } from '#domain/errors.ts';
import { caller } from '#http/auth.ts';
import { type Route, route } from '#http/route.ts';
import { ownImage, visibleImage } from '../access.ts';
import type { ImageContext } from '../deps.ts';
import { imageView } from '../view.ts';

export function showRoutes({ database, store }: ImageContext): readonly Route[] {
  return [
    route({
      method: 'GET',
      path: '/v2/images/:id',
      doc: 'One image.',
      access: { rule: 'get_image', role: 'any' },
      success: 200,
      async handle(request) {
        return { body: imageView(await visibleImage(database.queries, caller(request), request.params.id ?? '')) };
      },
    }),
    route({
      method: 'DELETE',
      path: '/v2/images/:id',
      doc: 'Removes record and data. A download that has begun goes on to its end.',
      access: { rule: 'delete_image', role: 'any' },
      success: 204,
      async handle(request) {
        const { id } = await ownImage(database.queries, caller(request), request.params.id ?? '', 'delete_image');
        // The record first: should the process die in between, the start-up removes a file without a record.
        if (!(await deleteImage(database.queries, id)))
          throw new CloudError('forbidden', { reason: `Image ${id} is protected and cannot be deleted.` });
        await store.delete(id);
        return {};
      },
    }),
  ];
}
