/** Who may use a private flavor. */
import { Type } from 'typebox';
import { findFlavor, flavorProjects, grantFlavor, revokeFlavor } from '#db/repo/flavors.ts';
import type { FlavorRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import { type Route, route } from '#http/route.ts';
import type { ApiDeps } from '../api-deps.ts';

const strict = { additionalProperties: false };
const Tenant = Type.Object(
  { tenant: Type.String({ minLength: 1, maxLength: 64, pattern: '^[a-zA-Z0-9-]+$' }) },
  strict,
);

const ACTION = Type.Union([
  Type.Object({ addTenantAccess: Tenant }, strict),
  Type.Object({ removeTenantAccess: Tenant }, strict),
]);

const RULE = 'os_compute_api:os-flavor-access';

export function flavorAccessRoutes(deps: ApiDeps): Route[] {
  const { db } = deps;
  const find = async (id: string): Promise<FlavorRow> => {
    const row = await findFlavor(db.queries, id, null);
    if (!row) throw new CloudError('flavorNotFound', { id });
    return row;
  };
  const list = async (id: string) => ({
    body: {
      flavor_access: (await flavorProjects(db.queries, id)).map((projectId) => ({
        flavor_id: id,
        tenant_id: projectId,
      })),
    },
  });
  return [
    route({
      method: 'GET',
      path: '/v2.1/flavors/:id/os-flavor-access',
      doc: 'Lists the projects that may use a private flavor.',
      access: { rule: RULE, role: 'admin' },
      success: 200,
      handle: async ({ params }) => {
        const row = await find(params.id ?? '');
        if (row.is_public === 1)
          throw new CloudError('notFound', { what: 'Access list not available for public flavors:', id: row.id });
        return list(row.id);
      },
    }),
    route({
      method: 'POST',
      path: '/v2.1/flavors/:id/action',
      doc: 'Lets a project use a private flavor, or no longer: addTenantAccess, removeTenantAccess.',
      access: { rule: `${RULE}:add_tenant_access`, role: 'admin' },
      body: ACTION,
      success: 200,
      handle: async ({ params, body, version }) => {
        const row = await find(params.id ?? '');
        if ('addTenantAccess' in body) {
          const { tenant } = body.addTenantAccess;
          if (version >= 7 && row.is_public === 1) {
            throw new CloudError('conflict', { reason: 'Can not add access to a public flavor.' });
          }
          try {
            await grantFlavor(db.queries, row.id, tenant);
          } catch (error) {
            if (!db.isUniqueViolation(error)) throw error;
            throw new CloudError('conflict', {
              reason: `Flavor access already exists for flavor ${row.id} and project ${tenant} combination.`,
            });
          }
        } else {
          const { tenant } = body.removeTenantAccess;
          if (!(await revokeFlavor(db.queries, row.id, tenant))) {
            throw new CloudError('notFound', { what: `Flavor access for flavor ${row.id} and project`, id: tenant });
          }
        }
        return list(row.id);
      },
    }),
  ];
}
