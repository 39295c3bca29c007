/** The list of who may do what where, as `openstack role assignment list` shows it. */
import { type Static, Type } from 'typebox';
import { listRoleAssignments, type NamedRoleAssignment } from '#db/repo/identity/role-assignments.ts';
import { listRoles, type Role } from '#db/repo/identity/roles.ts';
import { type Route, route } from '#http/route.ts';
import { DEFAULT_DOMAIN } from '../domain.ts';
import type { IdentityDeps } from '../identity-deps.ts';
import { impliedNames } from '../implied-roles.ts';
import { booleanFilter, listing } from '../listing.ts';
import { adminMay } from '../policy.ts';

const text = Type.Optional(Type.String());
const ListQuery = Type.Object({
  'user.id': text,
  'scope.project.id': text,
  'role.id': text,
  'group.id': text,
  'scope.domain.id': text,
  'scope.system': text,
  'scope.OS-INHERIT:inherited_to': text,
  include_names: text,
  effective: text,
});

export function roleAssignmentRoutes(deps: IdentityDeps): readonly Route[] {
  const { record } = deps;
  return [
    route({
      method: 'GET',
      path: '/v3/role_assignments',
      doc: 'List role assignments, by user, project and role; with implied ones if `effective`.',
      access: adminMay('list_role_assignments'),
      query: ListQuery,
      success: 200,
      handle: async ({ query, base }) => {
        const roleId = query['role.id'];
        const filter = { userId: query['user.id'], projectId: query['scope.project.id'] };
        const granted = asksForOtherKinds(query) ? [] : await listRoleAssignments(record.queries, filter);
        const all = booleanFilter(query.effective) ? effective(granted, await listRoles(record.queries)) : granted;
        const names = booleanFilter(query.include_names) === true;
        const views = all
          .filter((each) => roleId === undefined || each.roleId === roleId)
          .map((each) => assignmentView(each, names, base));
        return { body: listing('role_assignments', views, `${base}/v3/role_assignments`) };
      },
    }),
  ];
}

/** Only users have roles here, only on projects, and nothing is inherited. */
function asksForOtherKinds(query: Static<typeof ListQuery>): boolean {
  const others = ['group.id', 'scope.domain.id', 'scope.system', 'scope.OS-INHERIT:inherited_to'] as const;
  return others.some((key) => query[key] !== undefined);
}

/** The assignments with what they imply, each once. */
function effective(granted: readonly NamedRoleAssignment[], roles: readonly Role[]): NamedRoleAssignment[] {
  const byName = new Map(roles.map((role) => [role.name, role]));
  const found = new Map<string, NamedRoleAssignment>();
  for (const each of granted) {
    for (const name of impliedNames(each.roleName)) {
      const role = byName.get(name);
      if (role)
        found.set(`${each.userId} ${each.projectId} ${role.id}`, { ...each, roleId: role.id, roleName: role.name });
    }
  }
  return [...found.values()];
}

function assignmentView(each: NamedRoleAssignment, names: boolean, base: string): object {
  const domain = { id: DEFAULT_DOMAIN.id, name: DEFAULT_DOMAIN.name };
  const { userId, projectId, roleId } = each;
  return {
    role: { id: roleId, ...(names && { name: each.roleName }) },
    user: { id: userId, ...(names && { name: each.userName, domain }) },
    scope: { project: { id: projectId, ...(names && { name: each.projectName, domain }) } },
    links: { assignment: `${base}/v3/projects/${projectId}/users/${userId}/roles/${roleId}` },
  };
}
