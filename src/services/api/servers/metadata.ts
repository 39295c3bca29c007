/** `/servers/{id}/metadata`: texts that a server's owner keeps with it. */
import { Type } from 'typebox';
import type { ServerRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import { checkAllowed } from '#domain/instance/transitions.ts';
import { caller } from '#http/auth.ts';
import { type Route, route, type ServiceRequest } from '#http/route.ts';
import type { ApiDeps, Quota } from '../api-deps.ts';
import { Metadata } from '../loose-types.ts';
import { projectQuota } from '../quotas/project-quota.ts';
import { guarded } from './accept.ts';
import { changeInPlace } from './change-in-place.ts';
import { visibleServer } from './visible-server.ts';

type Items = Readonly<Record<string, string>>;
type Request = ServiceRequest<unknown, unknown>;

const strict = { additionalProperties: false };
const All = Type.Object({ metadata: Metadata }, strict);
const One = Type.Object({ meta: Metadata }, strict);

const PATH = '/v2.1/servers/:id/metadata';
const RULE = 'os_compute_api:server-metadata';

export function serverMetadataRoutes(deps: ApiDeps): Route[] {
  /** Answers what `change` makes of the items, once that is written. */
  const write = async (request: Request, change: (items: Items) => Items): Promise<Items> => {
    const quota = await projectQuota(deps.db.queries, deps.quota, caller(request).projectId);
    return changeInPlace(deps, request, (row) => {
      checkAllowed('metadata', guarded(row), caller(request));
      const before = itemsOf(row);
      const result = change(before);
      checkCount(quota, before, result);
      return { patch: { metadata: JSON.stringify(result) }, result };
    });
  };

  return [
    route({
      method: 'GET',
      path: PATH,
      doc: 'Lists the metadata of a server.',
      access: { rule: `${RULE}:index`, role: 'reader' },
      success: 200,
      handle: async (request) => ({ body: { metadata: itemsOf(await visibleServer(deps, request)) } }),
    }),
    route({
      method: 'POST',
      path: PATH,
      doc: 'Adds metadata, replacing what has the same keys.',
      access: { rule: `${RULE}:create`, role: 'member' },
      body: All,
      success: 200,
      handle: async (request) => ({
        body: { metadata: await write(request, (items) => ({ ...items, ...request.body.metadata })) },
      }),
    }),
    route({
      method: 'PUT',
      path: PATH,
      doc: 'Replaces all metadata.',
      access: { rule: `${RULE}:update_all`, role: 'member' },
      body: All,
      success: 200,
      handle: async (request) => ({ body: { metadata: await write(request, () => request.body.metadata) } }),
    }),
    route({
      method: 'GET',
      path: `${PATH}/:key`,
      doc: 'Shows one item of the metadata.',
      access: { rule: `${RULE}:show`, role: 'reader' },
      success: 200,
      handle: async (request) => {
        const items = itemsOf(await visibleServer(deps, request));
        const key = keyIn(items, request);
        return { body: { meta: { [key]: items[key] } } };
      },
    }),
    route({
      method: 'PUT',
      path: `${PATH}/:key`,
      doc: 'Sets one item of the metadata.',
      access: { rule: `${RULE}:update`, role: 'member' },
      body: One,
      success: 200,
      handle: async (request) => {
        const { meta } = request.body;
        const keys = Object.keys(meta);
        if (keys.length !== 1 || keys[0] !== request.params.key)
          throw new CloudError('badRequest', { reason: 'Request body and URI mismatch' });
        await write(request, (items) => ({ ...items, ...meta }));
        return { body: { meta } };
      },
    }),
    route({
      method: 'DELETE',
      path: `${PATH}/:key`,
      doc: 'Removes one item of the metadata.',
      access: { rule: `${RULE}:delete`, role: 'member' },
      success: 204,
      handle: async (request) => {
        await write(request, (items) => {
          const { [keyIn(items, request)]: _, ...rest } = items;
          return rest;
        });
        return {};
      },
    }),
  ];
}

function itemsOf(row: ServerRow): Items {
  return JSON.parse(row.metadata) as Items;
}

function keyIn(items: Items, request: Request): string {
  const key = request.params.key ?? '';
  if (!Object.hasOwn(items, key)) throw new CloudError('notThere', { reason: 'Metadata item was not found' });
  return key;
}

/** Fewer items are always fine, also where the quota was larger once. */
function checkCount(quota: Quota, before: Items, after: Items): void {
  const count = Object.keys(after).length;
  if (quota.metadataItems >= 0 && count > quota.metadataItems && count > Object.keys(before).length)
    throw new CloudError('forbidden', { reason: `Maximum number of metadata items exceeds ${quota.metadataItems}` });
}
