/** Deactivate: the image stays, its data can be had by administrators only; reactivate: the opposite. */
import { changeStatus } from '#db/repo/image/images.ts';
import { CloudError } from '#domain/errors.ts';
import { caller } from '#http/auth.ts';
import { type Route, route } from '#http/route.ts';
import { visibleImage } from './access.ts';
import type { ImageContext } from './deps.ts';

export function actionRoutes(context: ImageContext): readonly Route[] {
  return [action(context, 'deactivate'), action(context, 'reactivate')];
}

function action({ database, now }: ImageContext, name: 'deactivate' | 'reactivate'): Route {
  const [from, to] =
    name === 'deactivate' ? (['active', 'deactivated'] as const) : (['deactivated', 'active'] as const);
  return route({
    method: 'POST',
    path: `/v2/images/:id/actions/${name}`,
    doc: name === 'deactivate' ? 'Nobody but administrators may download the data.' : 'Takes a deactivation back.',
    access: { rule: name, role: 'admin' },
    success: 204,
    async handle(request) {
      const { id, status } = await visibleImage(database.queries, caller(request), request.params.id ?? '');
      if (status === to) return {};
      if (!(await changeStatus(database.queries, id, from, to, { updated_at: now() })))
        throw new CloudError('forbidden', { reason: `Not allowed to ${name} image in status '${status}'` });
      return {};
    },
  });
}
