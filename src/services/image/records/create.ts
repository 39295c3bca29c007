/** POST /v2/images: a record without data, status `queued`. */
import { type Image, insertImage } from '#db/repo/image/images.ts';
import { CloudError } from '#domain/errors.ts';
import { caller } from '#http/auth.ts';
import { type Route, route } from '#http/route.ts';
import { actsForAll, type Caller, checkVisibilityChange, requireWriter } from '../access.ts';
import type { ImageContext } from '../deps.ts';
import { imageView } from '../view.ts';
import { CREATE_BODY, type CreateBody, isBase, isReadOnly } from './attributes.ts';
import { checkDetails } from './check-details.ts';

export function createRoutes(context: ImageContext): readonly Route[] {
  return [
    route({
      method: 'POST',
      path: '/v2/images',
      doc: 'Makes an image record without data. Properties are top-level strings; the id may be given.',
      access: { rule: 'add_image', role: 'any' },
      body: CREATE_BODY,
      success: 201,
      async handle(request) {
        const image = imageFrom(request.body, caller(request), context);
        try {
          await context.database.transaction((trx) => insertImage(trx, image));
        } catch (error) {
          if (!context.database.isUniqueViolation(error)) throw error;
          throw new CloudError('conflict', { reason: `Image ID ${image.id} already exists!` }, { cause: error });
        }
        return { headers: { location: `${request.base}/v2/images/${image.id}` }, body: imageView(image) };
      },
    }),
  ];
}

function imageFrom(body: CreateBody, who: Caller, context: ImageContext): Image {
  requireWriter(who, 'add_image');
  const refused = Object.keys(body).find(isReadOnly);
  if (refused !== undefined) throw new CloudError('imageReadOnly', { attribute: refused });
  const visibility = body.visibility ?? 'shared';
  checkVisibilityChange(who, visibility);
  const now = context.now();
  const image: Image = {
    id: (body.id ?? context.newId()).toLowerCase(),
    name: body.name ?? null,
    status: 'queued',
    visibility,
    owner: ownerOf(body, who),
    protected: Number(body.protected ?? false),
    os_hidden: Number(body.os_hidden ?? false),
    disk_format: body.disk_format ?? null,
    container_format: body.container_format ?? null,
    min_disk: body.min_disk ?? 0,
    min_ram: body.min_ram ?? 0,
    size: null,
    virtual_size: null,
    checksum: null,
    os_hash_value: null,
    created_at: now,
    updated_at: now,
    tags: [...new Set(body.tags ?? [])].toSorted(),
    properties: propertiesOf(body),
  };
  checkDetails(image, context.limits);
  return image;
}

function ownerOf(body: CreateBody, who: Caller): string {
  const owner = body.owner ?? who.projectId;
  if (owner !== who.projectId && !actsForAll(who))
    throw new CloudError('forbidden', { reason: `You are not permitted to create images owned by '${owner}'.` });
  return owner;
}

/** What is left are strings, by the schema; a null `kernel_id` stands for none. */
function propertiesOf(body: CreateBody): Record<string, string> {
  const own = Object.entries(body).filter(([name, value]) => !isBase(name) && typeof value === 'string');
  return Object.fromEntries(own) as Record<string, string>;
}
