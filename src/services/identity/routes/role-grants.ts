/** A user's roles on a project: grant, look, take away. Taking one away revokes the user's tokens for that project. */
import type { Queries } from '#db/database.ts';
import { findProject } from '#db/repo/identity/projects.ts';
import {
  grantRole,
  isGranted,
  listGrantedRoles,
  type RoleAssignment,
  revokeRole,
} from '#db/repo/identity/role-assignments.ts';
import { findRole } from '#db/repo/identity/roles.ts';
import { findUser } from '#db/repo/identity/users.ts';
import { CloudError } from '#domain/errors.ts';
import { type Route, route } from '#http/route.ts';
import type { IdentityDeps } from '../identity-deps.ts';
import { listing } from '../listing.ts';
import { adminMay } from '../policy.ts';
import { notFound } from '../unique-names.ts';
import { roleView } from './roles.ts';

const ROLES = '/v3/projects/:projectId/users/:userId/roles';
const ROLE = `${ROLES}/:roleId`;

type Params = Readonly<Record<string, string>>;

export function roleGrantRoutes(deps: IdentityDeps): readonly Route[] {
  const { record } = deps;
  const check = async ({ params }: { params: Params }) => {
    const assignment = assignmentOf(params);
    if (!(await isGranted(record.queries, assignment))) throw await missing(record.queries, assignment);
    return {};
  };
  return [
    route({
      method: 'GET',
      path: ROLES,
      doc: 'List the roles granted to a user on a project, without implied ones.',
      access: adminMay('list_grants'),
      success: 200,
      handle: async ({ params, base }) => {
        const { userId, projectId } = assignmentOf(params);
        if (!(await findProject(record.queries, projectId))) throw notFound('project', projectId);
        if (!(await findUser(record.queries, userId))) throw notFound('user', userId);
        const roles = await listGrantedRoles(record.queries, userId, projectId);
        const self = `${base}/v3/projects/${projectId}/users/${userId}/roles`;
        const views = roles.map((role) => roleView(role, base));
        return { body: listing('roles', views, self) };
      },
    }),
    route({
      method: 'PUT',
      path: ROLE,
      doc: 'Grant a user a role on a project; nothing changes where it was granted before.',
      access: adminMay('create_grant'),
      success: 204,
      handle: async ({ params }) => {
        const assignment = assignmentOf(params);
        await record.write(async (trx) => {
          await requireParts(trx, assignment);
          await grantRole(trx, assignment);
        });
        return {};
      },
    }),
    route({
      method: 'HEAD',
      path: ROLE,
      doc: 'Whether a role is granted to a user on a project.',
      access: adminMay('check_grant'),
      success: 204,
      handle: check,
    }),
    route({
      method: 'GET',
      path: ROLE,
      doc: 'Whether a role is granted to a user on a project.',
      access: adminMay('check_grant'),
      success: 204,
      handle: check,
    }),
    route({
      method: 'DELETE',
      path: ROLE,
      doc: 'Take a role on a project away from a user.',
      access: adminMay('revoke_grant'),
      success: 204,
      handle: async ({ params }) => {
        const assignment = assignmentOf(params);
        const { userId, projectId } = assignment;
        await record.write(async (trx) => {
          if (!(await revokeRole(trx, assignment))) throw await missing(trx, assignment);
          await deps.tokens.revokeAll(trx, { userId, projectId });
        });
        return {};
      },
    }),
  ];
}

function assignmentOf({ userId = '', projectId = '', roleId = '' }: Params): RoleAssignment {
  return { userId, projectId, roleId };
}

/** Throws 404 for the first part that does not exist. */
async function requireParts(queries: Queries, { userId, projectId, roleId }: RoleAssignment): Promise<void> {
  if (!(await findRole(queries, roleId))) throw notFound('role', roleId);
  if (!(await findProject(queries, projectId))) throw notFound('project', projectId);
  if (!(await findUser(queries, userId))) throw notFound('user', userId);
}

/** Why an assignment is not there: a part of it is not, or it was not granted. */
async function missing(queries: Queries, assignment: RoleAssignment): Promise<CloudError> {
  await requireParts(queries, assignment);
  const { roleId, userId, projectId } = assignment;
  return new CloudError('assignmentNotFound', { role: roleId, user: userId, project: projectId });
}
