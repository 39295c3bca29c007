/** Roles: names that policies ask for. Deleting one takes it from everybody. */
import type { Queries } from '#db/database.ts';
import type { RoleRow } from '#db/tables/identity.ts';

export interface Role {
  readonly id: string;
  readonly name: string;
  readonly description: string | null;
}

export type RoleChanges = Partial<Omit<Role, 'id'>>;

/** Roles by name; only those in `names` where given. */
export async function listRoles(queries: Queries, names?: readonly string[]): Promise<Role[]> {
  let query = queries.selectFrom('roles').selectAll();
  if (names) query = query.where('name', 'in', names);
  return (await query.orderBy('name').execute()).map(fromRow);
}

/** The role with this id, or null. */
export async function findRole(queries: Queries, id: string): Promise<Role | null> {
  const row = await queries.selectFrom('roles').selectAll().where('id', '=', id).executeTakeFirst();
  return row ? fromRow(row) : null;
}

/** Throws the engine's unique violation when the name is taken. */
export async function insertRole(queries: Queries, role: Role): Promise<void> {
  await queries.insertInto('roles').values({ id: role.id, name: role.name, description: role.description }).execute();
}

/** Changes what `changes` names; false where there is no such role. Throws as `insertRole`. */
export async function updateRole(queries: Queries, id: string, changes: RoleChanges): Promise<boolean> {
  const row: Partial<RoleRow> = {
    ...(changes.name !== undefined && { name: changes.name }),
    ...(changes.description !== undefined && { description: changes.description }),
  };
  if (Object.keys(row).length === 0) return (await findRole(queries, id)) !== null;
  const result = await queries.updateTable('roles').set(row).where('id', '=', id).executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** False where there was no such role. */
export async function deleteRole(queries: Queries, id: string): Promise<boolean> {
  const result = await queries.deleteFrom('roles').where('id', '=', id).executeTakeFirst();
  return result.numDeletedRows > 0n;
}

/** Rows of node:sqlite have no prototype; everything else does. */
function fromRow(row: RoleRow): Role {
  return { id: row.id, name: row.name, description: row.description };
}
