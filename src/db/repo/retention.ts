/** Forgetting servers that were deleted long ago, with all that was recorded about them. */
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
    await trx.deleteFrom('servers').where('id', 'in', ids).execute();
    return ids.length;
  });
}
