/** Extra specs: what a flavor says beyond its sizes. */
import { Type } from 'typebox';
import { findFlavor, updateFlavor } from '#db/repo/flavors.ts';
import type { FlavorRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import { caller } from '#http/auth.ts';
import { type Route, route, type ServiceRequest } from '#http/route.ts';
import type { ApiDeps } from '../api-deps.ts';

const KEY = '^[a-zA-Z0-9-_:. ]{1,255}$';
const Value = Type.Union([Type.String({ maxLength: 255 }), Type.Number()]);
const Specs = Type.Record(Type.String({ pattern: KEY }), Value, { additionalProperties: false });
const One = Type.Record(Type.String({ pattern: KEY }), Value, {
  additionalProperties: false,
  minProperties: 1,
  maxProperties: 1,
});

const PATH = '/v2.1/flavors/:id/os-extra_specs';
const RULE = 'os_compute_api:os-flavor-extra-specs';

export function extraSpecRoutes(deps: ApiDeps): Route[] {
  const specsOf = async (
    request: ServiceRequest<unknown, unknown>,
  ): Promise<{ row: FlavorRow; specs: Record<string, string> }> => {
    const auth = caller(request);
    const id = request.params.id ?? '';
    const row = await findFlavor(deps.db.queries, id, auth.isAdmin ? null : auth.projectId);
    if (!row) throw new CloudError('flavorNotFound', { id });
    return { row, specs: JSON.parse(row.extra_specs) as Record<string, string> };
  };
  const store = (row: FlavorRow, specs: Readonly<Record<string, unknown>>) =>
    updateFlavor(deps.db.queries, row.id, { extra_specs: JSON.stringify(asText(specs)) });
  const notThere = (row: FlavorRow, key: string) =>
    new CloudError('notFound', { what: `Flavor ${row.id} has no extra specs with key ${key}; it`, id: key });

  return [
    route({
      method: 'GET',
      path: PATH,
      doc: 'Lists the extra specs of a flavor.',
      access: { rule: `${RULE}:index`, role: 'any' },
      success: 200,
      handle: async (request) => ({ body: { extra_specs: (await specsOf(request)).specs } }),
    }),
    route({
      method: 'POST',
      path: PATH,
      doc: 'Adds extra specs, replacing those of the same keys.',
      access: { rule: `${RULE}:create`, role: 'admin' },
      body: Type.Object({ extra_specs: Specs }, { additionalProperties: false }),
      success: 200,
      handle: async (request) => {
        const { row, specs } = await specsOf(request);
        await store(row, { ...specs, ...request.body.extra_specs });
        return { body: { extra_specs: asText(request.body.extra_specs) } };
      },
    }),
    route({
      method: 'GET',
      path: `${PATH}/:key`,
      doc: 'Shows one extra spec.',
      access: { rule: `${RULE}:show`, role: 'any' },
      success: 200,
      handle: async (request) => {
        const { row, specs } = await specsOf(request);
        const key = request.params.key ?? '';
        if (!Object.hasOwn(specs, key)) throw notThere(row, key);
        return { body: { [key]: specs[key] } };
      },
    }),
    route({
      method: 'PUT',
      path: `${PATH}/:key`,
      doc: 'Sets one extra spec.',
      access: { rule: `${RULE}:update`, role: 'admin' },
      body: One,
      success: 200,
      handle: async (request) => {
        const { row, specs } = await specsOf(request);
        const key = request.params.key ?? '';
        if (!Object.hasOwn(request.body, key))
          throw new CloudError('badRequest', { reason: 'Request body and URI mismatch' });
        await store(row, { ...specs, ...request.body });
        return { body: asText(request.body) };
      },
    }),
    route({
      method: 'DELETE',
      path: `${PATH}/:key`,
      doc: 'Removes one extra spec.',
      access: { rule: `${RULE}:delete`, role: 'admin' },
      success: 200,
      handle: async (request) => {
        const { row, specs } = await specsOf(request);
        const key = request.params.key ?? '';
        if (!Object.hasOwn(specs, key)) throw notThere(row, key);
        const { [key]: _, ...rest } = specs;
        await store(row, rest);
        return {};
      },
    }),
  ];
}

function asText(specs: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(Object.entries(specs).map(([key, value]) => [key, String(value)]));
}
