/** One tag at a time; adding one that is there changes nothing. */
import { addTag, removeTag } from '#db/repo/image/images.ts';
import { CloudError } from '#domain/errors.ts';
import { caller } from '#http/auth.ts';
import { type Route, route } from '#http/route.ts';
import { ownImage } from './access.ts';
import type { ImageContext } from './deps.ts';

const MAX_TAG = 255;

export function tagRoutes({ database, limits }: ImageContext): readonly Route[] {
  const db = database.queries;
  const path = '/v2/images/:id/tags/:tag';
  return [
    route({
      method: 'PUT',
      path,
      doc: 'Adds a tag.',
      access: { rule: 'modify_image', role: 'any' },
      success: 204,
      async handle(request) {
        const { id, tags } = await ownImage(db, caller(request), request.params.id ?? '', 'modify_image');
        const tag = request.params.tag ?? '';
        if (tag.length > MAX_TAG)
          throw new CloudError('badRequest', { reason: `Invalid image tag: ${MAX_TAG} characters at most.` });
        if (tags.length >= limits.maxTags && !tags.includes(tag))
          throw new CloudError('tooLarge', { reason: `an image may have ${limits.maxTags} tags` });
        await addTag(db, id, tag);
        return {};
      },
    }),
    route({
      method: 'DELETE',
      path,
      doc: 'Removes a tag.',
      access: { rule: 'modify_image', role: 'any' },
      success: 204,
      async handle(request) {
        const { id } = await ownImage(db, caller(request), request.params.id ?? '', 'modify_image');
        const tag = request.params.tag ?? '';
        if (!(await removeTag(db, id, tag))) throw new CloudError('notFound', { what: 'Tag', id: tag });
        return {};
      },
    }),
  ];
}
