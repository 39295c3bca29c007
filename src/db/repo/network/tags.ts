/** Tags of anything of the network service, by its id. Whoever deletes a thing deletes its tags. */
import type { Queries } from '#db/database.ts';

/** Of each that has any, in order. */
export async function tagsOf(db: Queries, ids: readonly string[]): Promise<Map<string, string[]>> {
  if (ids.length === 0) return new Map();
  const rows = await db
    .selectFrom('network_tags')
    .selectAll()
    .where('resource_id', 'in', [...ids])
    .orderBy('tag')
    .execute();
  const grouped = Map.groupBy(rows, ({ resource_id }) => resource_id);
  return new Map([...grouped].map(([id, tags]) => [id, tags.map(({ tag }) => tag)]));
}

export async function replaceTags(trx: Queries, id: string, tags: readonly string[]): Promise<void> {
  await deleteTags(trx, [id]);
  const rows = [...new Set(tags)].map((tag) => ({ resource_id: id, tag }));
  if (rows.length > 0) await trx.insertInto('network_tags').values(rows).execute();
}

/** Has it already: nothing. */
export async function addTag(trx: Queries, id: string, tag: string): Promise<void> {
  await trx
    .insertInto('network_tags')
    .values({ resource_id: id, tag })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/** False when it had no such tag. */
export async function removeTag(trx: Queries, id: string, tag: string): Promise<boolean> {
  const { numDeletedRows } = await trx
    .deleteFrom('network_tags')
    .where('resource_id', '=', id)
    .where('tag', '=', tag)
    .executeTakeFirst();
  return numDeletedRows > 0n;
}

export async function deleteTags(trx: Queries, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  await trx
    .deleteFrom('network_tags')
    .where('resource_id', 'in', [...ids])
    .execute();
}
