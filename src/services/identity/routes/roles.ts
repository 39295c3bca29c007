/** Roles: admins add their own for their policies. The built-in ones carry the cloud's rules and stay as they are. */

import type { Transaction } from 'kysely';
import { Type } from 'typebox';
import type { Schema } from '#db/database.ts';
import { listRoleAssignments } from '#db/repo/identity/role-assignments.ts';
import { deleteRole, findRole, insertRole, listRoles, type Role, updateRole } from '#db/repo/identity/roles.ts';
import { CloudError } from '#domain/errors.ts';
import { type Route, route } from '#http/route.ts';
import type { IdentityDeps } from '../identity-deps.ts';
import { isBuiltIn } from '../implied-roles.ts';
import { listing } from '../listing.ts';
import { nameSchema, TextSchema } from '../names.ts';
import { adminMay } from '../policy.ts';
import { newId, notFound, writeNamed } from '../unique-names.ts';

const Name = nameSchema(255);
const CreateBody = Type.Object({
  role: Type.Object({
    name: Name,
    description: Type.Optional(TextSchema),
    domain_id: Type.Optional(Type.Null()),
  }),
});
const UpdateBody = Type.Object({
  role: Type.Object({ name: Type.Optional(Name), description: Type.Optional(TextSchema) }),
});
const ListQuery = Type.Object({ name: Type.Optional(Type.String()), domain_id: Type.Optional(Type.String()) });

export function roleRoutes(deps: IdentityDeps): readonly Route[] {
  const { record } = deps;
  return [
    route({
      method: 'GET',
      path: '/v3/roles',
      doc: 'List roles, by name.',
      access: adminMay('list_roles'),
      query: ListQuery,
      success: 200,
      handle: async ({ query, base }) => {
        // Roles of a domain do not exist here.
        const none = query.domain_id !== undefined;
        const roles = none ? [] : await listRoles(record.queries, query.name === undefined ? undefined : [query.name]);
        const views = roles.map((role) => roleView(role, base));
        return { body: listing('roles', views, `${base}/v3/roles`) };
      },
    }),
    route({
      method: 'POST',
      path: '/v3/roles',
      doc: 'Create a role.',
      access: adminMay('create_role'),
      body: CreateBody,
      success: 201,
      handle: async ({ body, base }) => {
        const role: Role = { id: newId(), name: body.role.name, description: body.role.description ?? null };
        await writeNamed(record, 'role', role.name, (trx) => insertRole(trx, role));
        return { body: { role: roleView(role, base) } };
      },
    }),
    route({
      method: 'GET',
      path: '/v3/roles/:roleId',
      doc: 'Show a role.',
      access: adminMay('get_role'),
      success: 200,
      handle: async ({ params: { roleId = '' }, base }) => {
        const role = await findRole(record.queries, roleId);
        if (!role) throw notFound('role', roleId);
        return { body: { role: roleView(role, base) } };
      },
    }),
    route({
      method: 'PATCH',
      path: '/v3/roles/:roleId',
      doc: 'Rename or describe a role that is not built in.',
      access: adminMay('update_role'),
      body: UpdateBody,
      success: 200,
      handle: async ({ params: { roleId = '' }, body, base }) => {
        const { name, description } = body.role;
        const changes = { ...(name !== undefined && { name }), ...(description !== undefined && { description }) };
        const role = await writeNamed(record, 'role', name ?? '', async (trx) => {
          await requireMutable(trx, roleId, 'update');
          await updateRole(trx, roleId, changes);
          return findRole(trx, roleId);
        });
        return { body: { role: role && roleView(role, base) } };
      },
    }),
    route({
      method: 'DELETE',
      path: '/v3/roles/:roleId',
      doc: 'Delete a role that is not built in; whoever had it loses it and the tokens that carry it.',
      access: adminMay('delete_role'),
      success: 204,
      handle: async ({ params: { roleId = '' } }) => {
        await record.write(async (trx) => {
          await requireMutable(trx, roleId, 'delete');
          for (const { userId, projectId } of await listRoleAssignments(trx, { roleId }))
            await deps.tokens.revokeAll(trx, { userId, projectId });
          await deleteRole(trx, roleId);
        });
        return {};
      },
    }),
  ];
}

async function requireMutable(trx: Transaction<Schema>, id: string, verb: 'update' | 'delete'): Promise<void> {
  const role = await findRole(trx, id);
  if (!role) throw notFound('role', id);
  if (isBuiltIn(role.name))
    throw new CloudError('forbidden', { reason: `Unable to ${verb} immutable role resource: \`${id}\`.` });
}

/** A role as Identity v3 shows it. */
export function roleView(role: Role, base: string): object {
  return {
    id: role.id,
    name: role.name,
    domain_id: null,
    description: role.description,
    options: isBuiltIn(role.name) ? { immutable: true } : {},
    links: { self: `${base}/v3/roles/${role.id}` },
  };
}
