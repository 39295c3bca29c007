/** PATCH of an image: all changes or none. */
import { findImage, type Image, replaceImage } from '#db/repo/image/images.ts';
import { CloudError } from '#domain/errors.ts';
import { type AuthContext, caller } from '#http/auth.ts';
import { type Route, route } from '#http/route.ts';
import { validate } from '#http/validate.ts';
import { actsForAll, checkVisibilityChange, ownImage } from '../access.ts';
import type { ImageContext } from '../deps.ts';
import { imageView } from '../view.ts';
import { isBase, isReadOnly, valueSchema } from './attributes.ts';
import { checkDetails } from './check-details.ts';
import { type Change, PATCH_BODY, PATCH_V20, PATCH_V21, parsePatch } from './json-patch.ts';

export function patchRoutes({ database, now, limits }: ImageContext): readonly Route[] {
  return [
    route({
      method: 'PATCH',
      path: '/v2/images/:id',
      doc: 'Changes attributes and properties by JSON patch, all of them or none.',
      access: { rule: 'modify_image', role: 'any' },
      consumes: [PATCH_V21, PATCH_V20],
      body: PATCH_BODY,
      success: 200,
      async handle(request) {
        const who = caller(request);
        const id = request.params.id ?? '';
        const type = request.raw.headers['content-type']?.split(';')[0]?.trim().toLowerCase() ?? '';
        const changes = parsePatch(request.body, type);
        await ownImage(database.queries, who, id, 'modify_image');
        for (const change of changes) checkChange(change);
        const image = await database.transaction(async (trx) => {
          const before = await findImage(trx, id);
          if (!before) throw new CloudError('imageNotFound', { id });
          if (changes.length === 0) return before;
          const after = { ...changes.reduce((image, change) => apply(image, change, who), before), updated_at: now() };
          checkDetails(after, limits);
          await replaceImage(trx, after);
          return after;
        });
        return { body: imageView(image) };
      },
    }),
  ];
}

function checkChange({ operation, attribute, value }: Change): void {
  if (attribute === 'id' || isReadOnly(attribute)) throw new CloudError('imageReadOnly', { attribute });
  if (operation !== 'remove') validate(valueSchema(attribute), value, 'body');
}

function apply(image: Image, change: Change, who: AuthContext): Image {
  const { operation, attribute, value } = change;
  const isThere = isBase(attribute) || Object.hasOwn(image.properties, attribute);
  if (operation === 'remove' && isBase(attribute))
    throw new CloudError('forbidden', { reason: `Property ${attribute} may not be removed.` });
  if (operation !== 'add' && !isThere)
    throw new CloudError('conflict', { reason: `Property ${attribute} does not exist.` });
  if (operation === 'add' && isThere && change.isOldDraft)
    throw new CloudError('conflict', { reason: `Property ${attribute} already present.` });
  if (isBase(attribute)) return withAttribute(image, attribute, value, who);
  const { [attribute]: _before, ...others } = image.properties;
  // A null `kernel_id` stands for none; everything else is a string by its schema.
  const properties = operation === 'remove' || typeof value !== 'string' ? others : { ...others, [attribute]: value };
  return { ...image, properties };
}

function withAttribute(image: Image, attribute: string, value: unknown, who: AuthContext): Image {
  switch (attribute) {
    case 'protected':
    case 'os_hidden':
      return { ...image, [attribute]: Number(value) };
    case 'tags':
      return { ...image, tags: [...new Set(value as string[])].toSorted() };
    case 'visibility':
      if (value !== image.visibility) checkVisibilityChange(who, value as string);
      break;
    case 'owner':
      if (value === image.owner) return image;
      if (!actsForAll(who)) throw new CloudError('forbidden', { reason: "Owner can't be updated by non admin." });
      if (value === null) throw new CloudError('badRequest', { reason: 'An image must have an owner.' });
      break;
    case 'disk_format':
    case 'container_format':
      if (value !== image[attribute] && image.status !== 'queued')
        throw new CloudError('forbidden', {
          reason: `Attribute '${attribute}' can be only replaced for a queued image.`,
        });
      break;
  }
  return { ...image, [attribute]: value };
}
