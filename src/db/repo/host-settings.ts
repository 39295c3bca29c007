/** What an operator says of hosts, and when one can be forgotten. */
import type { Queries } from '../database.ts';
import type { HostRow } from '../tables/compute.ts';

export type HostSettings = Partial<Pick<HostRow, 'enabled' | 'disabled_reason' | 'forced_down'>>;

/** Answers the host as it is then; undefined where there is none. */
export function changeHost(db: Queries, name: string, settings: HostSettings): Promise<HostRow | undefined> {
  return db
    .updateTable('hosts')
    .set((e) => ({ ...settings, generation: e('generation', '+', 1) }))
    .where('name', '=', name)
    .returningAll()
    .executeTakeFirst();
}

/** Forgets the host, and that it is in aggregates. Its agent makes it anew when it registers the next time. */
export async function deleteHost(trx: Queries, name: string): Promise<void> {
  await trx.deleteFrom('aggregate_hosts').where('host', '=', name).execute();
  await trx.deleteFrom('hosts').where('name', '=', name).execute();
}

/** Whether any server is on the host, comes to it, or may still return to it. */
export async function isInUse(db: Queries, name: string): Promise<boolean> {
  const { used } = await db
    .selectNoFrom((e) =>
      e
        .or([
          e.exists(e.selectFrom('allocations').select('server_id').where('host', '=', name)),
          e.exists(e.selectFrom('servers').select('id').where('host', '=', name).where('deleted_at', 'is', null)),
        ])
        .as('used'),
    )
    .executeTakeFirstOrThrow();
  return Boolean(used);
}
