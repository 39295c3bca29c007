/** Forgetting what nobody asks for any more: servers that were deleted long ago, and what living ones did long ago. */
import type { Database } from '../database.ts';

/** Removes up to `limit` servers that were deleted before `cutoff` (epoch ms); answers how many there were. */
export async function forgetServers(db: Database, cutoff: number, limit: number): Promise<number> {
  return db.transaction(async (trx) => {
    const servers = await trx
      .selectFrom('servers')
      .select('id')
      .where('deleted_at', '<', cutoff)
      .orderBy('deleted_at')
      .limit(limit)
      .execute();
    const ids = servers.map(({ id }) => id);
    if (ids.length === 0) return 0;
    const operations = trx.selectFrom('operations').select('id').where('server_id', 'in', ids);
    await trx.deleteFrom('journal').where('operation_id', 'in', operations).execute();
    await trx.deleteFrom('operations').where('server_id', 'in', ids).execute();
    await trx.deleteFrom('server_group_members').where('server_id', 'in', ids).execute();
    await trx.deleteFrom('server_migrations').where('server_id', 'in', ids).execute();
    await trx.deleteFrom('console_tokens').where('server_id', 'in', ids).execute();
    await trx.deleteFrom('servers').where('id', 'in', ids).execute();
    return ids.length;
  });
}

/** Servers with more than `keep` operations, ended or not. */
export async function crowdedServers(db: Database, keep: number): Promise<string[]> {
  const crowded = await db.queries
    .selectFrom('operations')
    .select('server_id')
    .groupBy('server_id')
    .having((e) => e.fn.countAll(), '>', keep)
    .execute();
  return crowded.map(({ server_id }) => server_id);
}

/**
 * Removes up to `limit` operations of a server that have ended, with their journal, and keeps the newest `keep` of those; answers
 * how many there were.
 */
export async function forgetOperations(db: Database, serverId: string, keep: number, limit: number): Promise<number> {
  return db.transaction(async (trx) => {
    const surplus = await trx
      .selectFrom('operations')
      .select('id')
      .where('server_id', '=', serverId)
      .where('finished_at', 'is not', null)
      .orderBy('created_at', 'desc')
      .orderBy('id', 'desc')
      .offset(keep)
      .limit(limit)
      .execute();
    const ids = surplus.map(({ id }) => id);
    if (ids.length === 0) return 0;
    await trx.deleteFrom('journal').where('operation_id', 'in', ids).execute();
    await trx.deleteFrom('operations').where('id', 'in', ids).execute();
    return ids.length;
  });
}

/** Removes the console tokens that open nothing any more. */
export async function forgetConsoleTokens(db: Database, now: number): Promise<void> {
  await db.queries.deleteFrom('console_tokens').where('expires_at', '<=', now).execute();
}
