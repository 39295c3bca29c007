/** A counter of identity writes: a process whose number is lower than the row's knows that its caches are stale. */
import { sql } from 'kysely';
import type { Queries } from '#db/database.ts';

/** Counts a write; belongs into the transaction of that write. */
export async function countRevision(queries: Queries): Promise<void> {
  await queries.updateTable('identity_revision').set({ revision: sql`revision + 1` }).where('id', '=', 1).execute();
}

/** How many writes there have been. */
export async function readRevision(queries: Queries): Promise<number> {
  const row = await queries
    .selectFrom('identity_revision')
    .select('revision')
    .where('id', '=', 1)
    .executeTakeFirstOrThrow();
  return row.revision;
}
