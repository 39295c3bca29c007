/** GET /v2/images/{id}/file, whole or one range of it. */
import type { Socket } from 'node:net';
import { CloudError } from '#domain/errors.ts';
import { caller } from '#http/auth.ts';
import { type Answer, type BodyWriter, type Route, route } from '#http/route.ts';
import { visibleImage } from '../access.ts';
import type { ImageContext } from '../deps.ts';
import { parseRange } from './range.ts';

export function downloadRoutes({ database, store, limits }: ImageContext): readonly Route[] {
  return [
    route({
      method: 'GET',
      path: '/v2/images/:id/file',
      doc: 'The data; 204 when there is none. One `Range` is honoured.',
      access: { rule: 'download_image', role: 'any' },
      success: 200,
      async handle(request): Promise<Answer> {
        const who = caller(request);
        const image = await visibleImage(database.queries, who, request.params.id ?? '');
        if (image.status === 'deactivated' && !who.isAdmin)
          throw new CloudError('forbidden', {
            reason: 'The requested image has been deactivated. Image data download is forbidden.',
          });
        const stored = image.size === null ? null : await store.openRead(image.id);
        if (!stored) return { status: 204 };
        try {
          const { sizeBytes } = stored;
          const range = parseRange(request.raw.headers.range, sizeBytes);
          const { start, end } = range ?? { start: 0, end: sizeBytes };
          const write: BodyWriter = async (to) => {
            (to as { socket?: Socket | null }).socket?.setTimeout?.(limits.idleMs);
            try {
              await stored.copyTo(to, start, end);
            } finally {
              await stored.close();
            }
          };
          return {
            status: range ? 206 : 200,
            headers: {
              'content-type': 'application/octet-stream',
              'content-length': String(end - start),
              'accept-ranges': 'bytes',
              ...(image.checksum && { 'content-md5': image.checksum }),
              ...(range && { 'content-range': `bytes ${start}-${end - 1}/${sizeBytes}` }),
            },
            body: write,
          };
        } catch (error) {
          await stored.close();
          throw error;
        }
      },
    }),
  ];
}
