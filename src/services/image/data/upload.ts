/** PUT /v2/images/{id}/file: queued → saving → active, or queued again and no bytes. */
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { CloudError } from '#domain/errors.ts';
import { caller } from '#http/auth.ts';
import { type Route, route } from '#http/route.ts';
import { ownImage } from '../access.ts';
import type { ImageContext } from '../deps.ts';
import type { IncomingImage } from '../store/image-store.ts';
import { claim, giveUp, inspect, keepData } from './keep-data.ts';
import { receive } from './receive.ts';

export function uploadRoutes(context: ImageContext): readonly Route[] {
  const { database, store, limits } = context;
  let running = 0;

  /** `watch` breaks the connection off when nothing comes for too long; hashing may take longer. */
  const upload = async (id: string, body: Readable, watch: (ms: number) => void) => {
    const image = await claim(context, id);
    let incoming: IncomingImage | undefined;
    try {
      incoming = await store.openWrite(image.id);
      const into = incoming;
      watch(limits.idleMs);
      await receive(body, into, {
        maxBytes: limits.maxImageBytes,
        inspectEarly: () => inspect(context, image, into, false),
      });
      watch(0);
      await keepData(context, image, into);
    } catch (error) {
      throw await giveUp(context, image, incoming, error);
    }
  };

  return [
    route({
      method: 'PUT',
      path: '/v2/images/:id/file',
      doc: 'Streams the data of a queued image, which is active afterwards. Refused data leaves it queued.',
      access: { rule: 'upload_image', role: 'any' },
      consumes: ['application/octet-stream'],
      success: 204,
      async handle(request) {
        const image = await ownImage(database.queries, caller(request), request.params.id ?? '', 'upload_image');
        const announced = Number(request.raw.headers['content-length'] ?? 0);
        if (announced > limits.maxImageBytes) throw new CloudError('imageTooLarge', { limit: limits.maxImageBytes });
        if (running >= limits.maxUploads)
          throw new CloudError('serviceUnavailable', { reason: 'Too many uploads at the same time; try again later.' });
        running += 1;
        // A test's injected request has no real socket.
        const socket: Partial<Pick<Socket, 'setTimeout'>> = request.raw.raw.socket;
        try {
          // The server hands such bodies over as the stream they arrive on.
          await upload(image.id, request.body as Readable, (ms) => socket.setTimeout?.(ms));
          return {};
        } finally {
          running -= 1;
        }
      },
    }),
  ];
}
