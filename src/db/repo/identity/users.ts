/** Users: one row each, in the one domain `default`. Deleting one deletes what they may do. */
import type { Queries } from '#db/database.ts';
import type { UserRow } from '#db/tables/identity.ts';

export interface User {
  readonly id: string;
  readonly name: string;
  /** Argon2id in PHC form; null for a user who cannot log in by password. */
  readonly passwordHash: string | null;
  readonly enabled: boolean;
  readonly defaultProjectId: string | null;
  readonly email: string | null;
  readonly description: string | null;
  /** Epoch ms. */
  readonly createdAt: number;
}

export type UserChanges = Partial<Omit<User, 'id' | 'createdAt'>>;

export interface UserFilter {
  readonly name?: string | undefined;
  readonly enabled?: boolean | undefined;
}

/** Users by name. */
export async function listUsers(queries: Queries, filter: UserFilter = {}): Promise<User[]> {
  let query = queries.selectFrom('users').selectAll();
  if (filter.name !== undefined) query = query.where('name', '=', filter.name);
  if (filter.enabled !== undefined) query = query.where('enabled', '=', Number(filter.enabled));
  return (await query.orderBy('name').execute()).map(fromRow);
}

/** The user with this id, or null. */
export async function findUser(queries: Queries, id: string): Promise<User | null> {
  const row = await queries.selectFrom('users').selectAll().where('id', '=', id).executeTakeFirst();
  return row ? fromRow(row) : null;
}

/** The user with this name, or null. */
export async function findUserByName(queries: Queries, name: string): Promise<User | null> {
  const row = await queries.selectFrom('users').selectAll().where('name', '=', name).executeTakeFirst();
  return row ? fromRow(row) : null;
}

/** True once there is any user at all. */
export async function hasUsers(queries: Queries): Promise<boolean> {
  return (await queries.selectFrom('users').select('id').limit(1).executeTakeFirst()) !== undefined;
}

/** Throws the engine's unique violation when the name is taken. */
export async function insertUser(queries: Queries, user: User): Promise<void> {
  await queries
    .insertInto('users')
    .values({ id: user.id, created_at: user.createdAt, ...toRow(user) })
    .execute();
}

/** Changes what `changes` names; false where there is no such user. Throws the unique violation as `insertUser`. */
export async function updateUser(queries: Queries, id: string, changes: UserChanges): Promise<boolean> {
  const row = toRow(changes);
  if (Object.keys(row).length === 0) return (await findUser(queries, id)) !== null;
  const result = await queries.updateTable('users').set(row).where('id', '=', id).executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** Replaces the password only where it is still `oldHash`; false when somebody was faster. */
export async function replacePassword(
  queries: Queries,
  id: string,
  oldHash: string | null,
  newHash: string,
): Promise<boolean> {
  const result = await queries
    .updateTable('users')
    .set({ password_hash: newHash })
    .where('id', '=', id)
    .where('password_hash', 'is not distinct from', oldHash)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** Takes a project that goes away out of the users who had it as their default. */
export async function forgetDefaultProject(queries: Queries, projectId: string): Promise<void> {
  await queries
    .updateTable('users')
    .set({ default_project_id: null })
    .where('default_project_id', '=', projectId)
    .execute();
}

/** False where there was no such user. */
export async function deleteUser(queries: Queries, id: string): Promise<boolean> {
  const result = await queries.deleteFrom('users').where('id', '=', id).executeTakeFirst();
  return result.numDeletedRows > 0n;
}

function fromRow(row: UserRow): User {
  return {
    id: row.id,
    name: row.name,
    passwordHash: row.password_hash,
    enabled: row.enabled === 1,
    defaultProjectId: row.default_project_id,
    email: row.email,
    description: row.description,
    createdAt: row.created_at,
  };
}

type Columns = Omit<UserRow, 'id' | 'created_at'>;

function toRow(user: Omit<User, 'id' | 'createdAt'>): Columns;
function toRow(user: UserChanges): Partial<Columns>;
function toRow(user: UserChanges): Partial<Columns> {
  return {
    ...(user.name !== undefined && { name: user.name }),
    ...(user.passwordHash !== undefined && { password_hash: user.passwordHash }),
    ...(user.enabled !== undefined && { enabled: Number(user.enabled) }),
    ...(user.defaultProjectId !== undefined && { default_project_id: user.defaultProjectId }),
    ...(user.email !== undefined && { email: user.email }),
    ...(user.description !== undefined && { description: user.description }),
  };
}
