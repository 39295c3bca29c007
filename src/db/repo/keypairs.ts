/** Queries of key pairs. They belong to a user, not to a project. */
import type { Queries } from '../database.ts';
import type { KeypairRow } from '../tables/compute.ts';

export function findKeypair(db: Queries, userId: string, name: string): Promise<KeypairRow | undefined> {
  return db
    .selectFrom('keypairs')
    .selectAll()
    .where('user_id', '=', userId)
    .where('name', '=', name)
    .executeTakeFirst();
}

/** By name, beginning after `marker`. */
export function listKeypairs(
  db: Queries,
  userId: string,
  marker: string | undefined,
  limit: number,
): Promise<KeypairRow[]> {
  let query = db.selectFrom('keypairs').selectAll().where('user_id', '=', userId);
  if (marker !== undefined) query = query.where('name', '>', marker);
  return query.orderBy('name').limit(limit).execute();
}

export async function countKeypairs(db: Queries, userId: string): Promise<number> {
  const { count } = await db
    .selectFrom('keypairs')
    .select((e) => e.fn.countAll<number>().as('count'))
    .where('user_id', '=', userId)
    .executeTakeFirstOrThrow();
  return Number(count);
}

export async function insertKeypair(db: Queries, row: KeypairRow): Promise<void> {
  await db.insertInto('keypairs').values(row).execute();
}

export async function deleteKeypair(db: Queries, userId: string, name: string): Promise<boolean> {
  const { numDeletedRows } = await db
    .deleteFrom('keypairs')
    .where('user_id', '=', userId)
    .where('name', '=', name)
    .executeTakeFirst();
  return numDeletedRows > 0n;
}
