/** Flavors: list, show, and for administrators create, update, delete. */
import { randomUUID } from 'node:crypto';
import { type Static, Type } from 'typebox';
import { deleteFlavor, findFlavor, insertFlavor, listFlavors, updateFlavor } from '#db/repo/flavors.ts';
import type { FlavorRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import { type AuthContext, caller } from '#http/auth.ts';
import { type Route, route } from '#http/route.ts';
import type { ApiDeps } from '../api-deps.ts';
import { asBoolean, LooseBoolean, looseInteger, Name } from '../loose-types.ts';
import { lastOf, limitOf, markerNotFound, nextLink, PagingQuery, repeatable } from '../paging.ts';
import { flavorSummary, flavorView } from './view.ts';

const Text = repeatable(Type.String({ maxLength: 255 }));

const ListQuery = Type.Object({
  ...PagingQuery,
  is_public: Type.Optional(Text),
  minRam: Type.Optional(Text),
  minDisk: Type.Optional(Text),
  sort_key: Type.Optional(Text),
  sort_dir: Type.Optional(Text),
});

const properties = {
  id: Type.Optional(
    Type.Union([
      Type.String({ minLength: 1, maxLength: 255, pattern: '^(?! )[a-zA-Z0-9. _-]+(?<! )$' }),
      Type.Integer(),
      Type.Null(),
    ]),
  ),
  name: Name,
  ram: looseInteger(1),
  vcpus: looseInteger(1),
  disk: looseInteger(0),
  'OS-FLV-EXT-DATA:ephemeral': Type.Optional(looseInteger(0)),
  swap: Type.Optional(looseInteger(0)),
  rxtx_factor: Type.Optional(
    Type.Union([
      Type.Number({ exclusiveMinimum: 0, maximum: 3.4e38 }),
      Type.String({ pattern: '^[0-9]{1,6}(\\.[0-9]{1,6})?$' }),
    ]),
  ),
  'os-flavor-access:is_public': Type.Optional(LooseBoolean),
};
const Description = Type.Union([Type.String({ maxLength: 65_535 }), Type.Null()]);

const CREATE = [
  {
    from: 1,
    schema: Type.Object(
      { flavor: Type.Object(properties, { additionalProperties: false }) },
      { additionalProperties: false },
    ),
  },
  {
    from: 55,
    schema: Type.Object(
      {
        flavor: Type.Object(
          { ...properties, description: Type.Optional(Description) },
          { additionalProperties: false },
        ),
      },
      { additionalProperties: false },
    ),
  },
];

const UPDATE = Type.Object(
  { flavor: Type.Object({ description: Description }, { additionalProperties: false }) },
  { additionalProperties: false },
);

const ADMIN = 'os_compute_api:os-flavor-manage';

export function flavorRoutes(deps: ApiDeps): Route[] {
  const list = (path: string, view: typeof flavorView) =>
    route({
      method: 'GET',
      path,
      doc: 'Lists the flavors that the project may use.',
      access: 'token',
      query: ListQuery,
      success: 200,
      handle: async (request) => {
        const rows = await page(deps, request.query, caller(request));
        const limit = limitOf(request.query);
        const shown = rows.slice(0, limit);
        return {
          body: {
            flavors: shown.map((row) => view(row, request.version, request.base)),
            ...nextLink('flavors', shown.length === limit, `${request.base}${path}`, request.query, shown.at(-1)?.id),
          },
        };
      },
    });
  return [
    list('/v2.1/flavors', flavorSummary),
    list('/v2.1/flavors/detail', flavorView),
    route({
      method: 'GET',
      path: '/v2.1/flavors/:id',
      doc: 'Shows a flavor.',
      access: 'token',
      success: 200,
      handle: async (request) => {
        const row = await visibleFlavor(deps, request.params.id ?? '', caller(request));
        return { body: { flavor: flavorView(row, request.version, request.base) } };
      },
    }),
    route({
      method: 'POST',
      path: '/v2.1/flavors',
      doc: 'Creates a flavor.',
      access: { rule: `${ADMIN}:create`, role: 'admin' },
      body: CREATE,
      success: 200,
      handle: async (request) => {
        const { flavor } = request.body;
        const id =
          flavor.id === undefined || flavor.id === null || flavor.id === 'auto' ? randomUUID() : String(flavor.id);
        const row: FlavorRow = {
          id,
          name: flavor.name,
          vcpus: Number(flavor.vcpus),
          memory_mib: Number(flavor.ram),
          disk_gib: Number(flavor.disk),
          ephemeral_gib: Number(flavor['OS-FLV-EXT-DATA:ephemeral'] ?? 0),
          swap_mib: Number(flavor.swap ?? 0),
          rxtx_factor: Number(flavor.rxtx_factor ?? 1),
          is_public: asBoolean(flavor['os-flavor-access:is_public'] ?? true) ? 1 : 0,
          disabled: 0,
          // Only the schema from 2.55 on has it.
          description: (flavor as { description?: string | null }).description ?? null,
          extra_specs: '{}',
          created_at: deps.now(),
        };
        try {
          await insertFlavor(deps.db.queries, row);
        } catch (error) {
          if (!deps.db.isUniqueViolation(error)) throw error;
          const taken = await findFlavor(deps.db.queries, id, null);
          throw new CloudError('conflict', {
            reason: taken ? `Flavor with ID ${id} already exists.` : `Flavor with name ${row.name} already exists.`,
          });
        }
        return { body: { flavor: flavorView(row, request.version, request.base) } };
      },
    }),
    route({
      method: 'PUT',
      path: '/v2.1/flavors/:id',
      doc: 'Changes the description of a flavor.',
      access: { rule: `${ADMIN}:update`, role: 'admin' },
      from: 55,
      body: UPDATE,
      success: 200,
      handle: async (request) => {
        const row = await visibleFlavor(deps, request.params.id ?? '', caller(request));
        const { description } = request.body.flavor;
        await updateFlavor(deps.db.queries, row.id, { description });
        return { body: { flavor: flavorView({ ...row, description }, request.version, request.base) } };
      },
    }),
    route({
      method: 'DELETE',
      path: '/v2.1/flavors/:id',
      doc: 'Deletes a flavor. Servers keep what they were launched with.',
      access: { rule: `${ADMIN}:delete`, role: 'admin' },
      success: 202,
      handle: async ({ params }) => {
        const id = params.id ?? '';
        if (!(await deleteFlavor(deps.db.queries, id))) throw new CloudError('flavorNotFound', { id });
        return {};
      },
    }),
  ];
}

async function visibleFlavor(deps: ApiDeps, id: string, auth: AuthContext & { projectId: string }): Promise<FlavorRow> {
  const row = await findFlavor(deps.db.queries, id, auth.isAdmin ? null : auth.projectId);
  if (!row) throw new CloudError('flavorNotFound', { id });
  return row;
}

const SORT_KEYS: Readonly<Record<string, keyof FlavorRow>> = {
  flavorid: 'id',
  id: 'id',
  name: 'name',
  memory_mb: 'memory_mib',
  root_gb: 'disk_gib',
  vcpus: 'vcpus',
  swap: 'swap_mib',
  ephemeral_gb: 'ephemeral_gib',
  rxtx_factor: 'rxtx_factor',
  disabled: 'disabled',
  is_public: 'is_public',
  created_at: 'created_at',
};

/** The rows from the marker on, sorted. There are few flavors, so sorting is done here. */
async function page(
  deps: ApiDeps,
  query: Static<typeof ListQuery>,
  auth: AuthContext & { projectId: string },
): Promise<FlavorRow[]> {
  const rows = await listFlavors(deps.db.queries, {
    projectId: auth.isAdmin && lastOf(query.is_public) !== undefined ? null : auth.projectId,
    isPublic: publicFilter(lastOf(query.is_public), auth.isAdmin),
    minDiskGib: wholeNumber('minDisk', lastOf(query.minDisk)),
    minRamMib: wholeNumber('minRam', lastOf(query.minRam)),
  });
  const sortKey = lastOf(query.sort_key) ?? 'flavorid';
  const column = Object.hasOwn(SORT_KEYS, sortKey) ? SORT_KEYS[sortKey] : undefined;
  const direction = lastOf(query.sort_dir) ?? 'asc';
  if (!column) throw new CloudError('badRequest', { reason: `Sort key supplied is invalid: ${sortKey}` });
  if (direction !== 'asc' && direction !== 'desc')
    throw new CloudError('badRequest', { reason: `Unknown sort direction: ${direction}` });
  const sign = direction === 'asc' ? 1 : -1;
  rows.sort((a, b) => sign * compare(a[column], b[column]) || compare(a.id, b.id));
  const marker = lastOf(query.marker);
  if (marker === undefined) return rows;
  const index = rows.findIndex((row) => row.id === marker);
  if (index < 0) throw markerNotFound(marker);
  return rows.slice(index + 1);
}

function compare(a: string | number | null, b: string | number | null): number {
  const [left, right] = [a ?? '', b ?? ''];
  return left < right ? -1 : left > right ? 1 : 0;
}

function publicFilter(text: string | undefined, isAdmin: boolean): boolean | null {
  // Only an administrator may ask for private ones; others see what they may use.
  if (!isAdmin || text === undefined) return isAdmin ? true : null;
  if (text.toLowerCase() === 'none') return null;
  if (/^(true|t|1|yes|y|on)$/i.test(text)) return true;
  if (/^(false|f|0|no|n|off)$/i.test(text)) return false;
  throw new CloudError('badRequest', { reason: `Invalid is_public filter [${text}]` });
}

function wholeNumber(name: string, text: string | undefined): number {
  if (text === undefined) return 0;
  if (!/^[0-9]{1,10}$/.test(text)) throw new CloudError('badRequest', { reason: `Invalid ${name} filter [${text}]` });
  return Number(text);
}
