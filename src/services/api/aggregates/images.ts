/** Images are brought into the caches of an aggregate's hosts before they are needed. */
import { Type } from 'typebox';
import { computeContract } from '#contracts/compute.ts';
import { hostsByAggregate } from '#db/repo/aggregates.ts';
import { listHosts } from '#db/repo/hosts.ts';
import { CloudError } from '#domain/errors.ts';
import { type Route, route } from '#http/route.ts';
import type { ApiDeps } from '../api-deps.ts';
import { stateOf } from '../services/view.ts';
import { knownAggregate, PATH } from './routes.ts';

const strict = { additionalProperties: false };
const CACHE = Type.Object(
  {
    cache: Type.Array(Type.Object({ id: Type.String({ format: 'uuid', maxLength: 36 }) }, strict), {
      minItems: 1,
      maxItems: 100,
    }),
  },
  strict,
);

export function aggregateImageRoutes(deps: ApiDeps): Route[] {
  const { db, rpc, images, log, now } = deps;
  return [
    route({
      method: 'POST',
      path: `${PATH}/:id/images`,
      doc: 'Has the hosts of an aggregate that are up fetch images into their caches. What fails is only logged: a launch fetches it again.',
      access: { rule: 'os_compute_api:compute:aggregates:images', role: 'admin' },
      from: 81,
      body: CACHE,
      success: 202,
      handle: async (request) => {
        const row = await knownAggregate(db.queries, request.params.id ?? '');
        const ids = request.body.cache.map(({ id }) => id);
        if (new Set(ids).size < ids.length)
          throw new CloudError('badRequest', { reason: 'Duplicate images in request' });
        const token = String(request.raw.headers['x-auth-token']);
        for (const id of ids) {
          if (!(await images.find(id, token)))
            throw new CloudError('badRequest', { reason: `Image ${id} could not be found.` });
        }
        const members = (await hostsByAggregate(db.queries, row.id)).get(row.id) ?? [];
        const hosts = (await listHosts(db.queries)).filter(
          (host) => members.includes(host.name) && stateOf(host, now()) === 'up',
        );
        for (const { name } of hosts) {
          const agent = rpc.client(computeContract, 'nova-api', name);
          // One after the other, so that a host's line and disk are left to its guests; nobody waits for it.
          const fetchAll = async () => {
            for (const imageId of ids) await agent.fetchImage({ imageId });
          };
          fetchAll().catch((error: unknown) => log.warn({ err: error, host: name }, 'images not fetched ahead'));
        }
        return {};
      },
    }),
  ];
}
