/** Who may do what where: a user's roles on a project, as granted; implied roles are not stored. */
import type { Queries } from '#db/database.ts';
import type { Role } from './roles.ts';

export interface RoleAssignment {
  readonly userId: string;
  readonly projectId: string;
  readonly roleId: string;
}

export interface NamedRoleAssignment extends RoleAssignment {
  readonly userName: string;
  readonly projectName: string;
  readonly roleName: string;
}

export interface RoleAssignmentFilter {
  readonly userId?: string | undefined;
  readonly projectId?: string | undefined;
  readonly roleId?: string | undefined;
}

/** Assignments with the names of their parts, in a stable order. */
export async function listRoleAssignments(
  queries: Queries,
  filter: RoleAssignmentFilter = {},
): Promise<NamedRoleAssignment[]> {
  let query = queries
    .selectFrom('role_assignments as assignment')
    .innerJoin('users', 'users.id', 'assignment.user_id')
    .innerJoin('projects', 'projects.id', 'assignment.project_id')
    .innerJoin('roles', 'roles.id', 'assignment.role_id')
    .select(['user_id', 'project_id', 'role_id'])
    .select(['users.name as user_name', 'projects.name as project_name', 'roles.name as role_name']);
  if (filter.userId !== undefined) query = query.where('user_id', '=', filter.userId);
  if (filter.projectId !== undefined) query = query.where('project_id', '=', filter.projectId);
  if (filter.roleId !== undefined) query = query.where('role_id', '=', filter.roleId);
  const rows = await query.orderBy('projects.name').orderBy('users.name').orderBy('roles.name').execute();
  return rows.map((row) => ({
    userId: row.user_id,
    projectId: row.project_id,
    roleId: row.role_id,
    userName: row.user_name,
    projectName: row.project_name,
    roleName: row.role_name,
  }));
}

/** The roles granted to a user on a project, without implied ones, by name. */
export async function listGrantedRoles(queries: Queries, userId: string, projectId: string): Promise<Role[]> {
  const rows = await queries
    .selectFrom('role_assignments')
    .innerJoin('roles', 'roles.id', 'role_assignments.role_id')
    .select(['roles.id', 'roles.name', 'roles.description'])
    .where('user_id', '=', userId)
    .where('project_id', '=', projectId)
    .orderBy('roles.name')
    .execute();
  return rows.map((row) => ({ id: row.id, name: row.name, description: row.description }));
}

/** True where the user has the role named `roleName` on any enabled project. */
export async function hasRoleSomewhere(queries: Queries, userId: string, roleName: string): Promise<boolean> {
  const row = await queries
    .selectFrom('role_assignments')
    .innerJoin('roles', 'roles.id', 'role_assignments.role_id')
    .innerJoin('projects', 'projects.id', 'role_assignments.project_id')
    .select('role_assignments.user_id')
    .where('user_id', '=', userId)
    .where('roles.name', '=', roleName)
    .where('projects.enabled', '=', 1)
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

/** True where exactly this was granted. */
export async function isGranted(queries: Queries, assignment: RoleAssignment): Promise<boolean> {
  const row = await queries
    .selectFrom('role_assignments')
    .select('role_id')
    .where('user_id', '=', assignment.userId)
    .where('project_id', '=', assignment.projectId)
    .where('role_id', '=', assignment.roleId)
    .executeTakeFirst();
  return row !== undefined;
}

/** Grants; nothing changes where it was granted before. */
export async function grantRole(queries: Queries, assignment: RoleAssignment): Promise<void> {
  await queries
    .insertInto('role_assignments')
    .values({ user_id: assignment.userId, project_id: assignment.projectId, role_id: assignment.roleId })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/** False where it was not granted. */
export async function revokeRole(queries: Queries, assignment: RoleAssignment): Promise<boolean> {
  const result = await queries
    .deleteFrom('role_assignments')
    .where('user_id', '=', assignment.userId)
    .where('project_id', '=', assignment.projectId)
    .where('role_id', '=', assignment.roleId)
    .executeTakeFirst();
  return result.numDeletedRows > 0n;
}
