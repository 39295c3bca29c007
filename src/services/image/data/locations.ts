/**
 * POST /v2/images/{id}/locations: Nova hands over a file that is on this machine already.
 *
 * Glance answers before it has hashed; here the image is active when the answer comes, so that Nova need not poll. A
 * request that is repeated while the first still runs waits for the same end; one that is repeated after success
 * succeeds again.
 */
import Type from 'typebox';
import { findImage, type Image } from '#db/repo/image/images.ts';
import { CloudError } from '#domain/errors.ts';
import { caller } from '#http/auth.ts';
import { type Route, route } from '#http/route.ts';
import { visibleImage } from '../access.ts';
import type { ImageContext } from '../deps.ts';
import { imageView } from '../view.ts';
import { claim, giveUp, keepData } from './keep-data.ts';

const BODY = Type.Object({
  url: Type.String({ maxLength: 4096, description: 'file:///… inside the staging folder of the store' }),
});

export function locationRoutes(context: ImageContext): readonly Route[] {
  const { database, store } = context;
  const running = new Map<string, Promise<void>>();

  const takeOver = async (image: Image, url: string) => {
    const incoming = await store.takeOver(image.id, url);
    if (image.status === 'active' && (!incoming || incoming.isStored)) {
      await incoming?.settle();
      return;
    }
    let claimed: Image;
    try {
      if (!incoming) throw new CloudError('badRequest', { reason: `There is no file at ${url}.` });
      if (incoming.sizeBytes > context.limits.maxImageBytes)
        throw new CloudError('imageTooLarge', { limit: context.limits.maxImageBytes });
      claimed = await claim(context, image.id);
    } catch (error) {
      await incoming?.discard();
      throw error;
    }
    try {
      await keepData(context, claimed, incoming);
    } catch (error) {
      throw await giveUp(context, claimed, incoming, error);
    }
  };

  return [
    route({
      method: 'POST',
      path: '/v2/images/:id/locations',
      doc: 'Takes over a file of the staging folder as the data of a queued image, without a copy. For Nova only.',
      access: { rule: 'add_location', role: 'service' },
      body: BODY,
      success: 202,
      async handle(request) {
        const image = await visibleImage(database.queries, caller(request), request.params.id ?? '');
        const { url } = request.body;
        const key = `${image.id} ${url}`;
        const work = running.get(key) ?? takeOver(image, url).finally(() => running.delete(key));
        running.set(key, work);
        await work;
        const active = await findImage(database.queries, image.id);
        if (!active) throw new CloudError('imageNotFound', { id: image.id });
        return { body: imageView(active) };
      },
    }),
  ];
}
