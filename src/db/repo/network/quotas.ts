/** What a project may have of the network service, and has: counted each time. */
import { sql } from 'kysely';
import type { Queries } from '#db/database.ts';
import { CloudError } from '#domain/errors.ts';
import {
  DEFAULT_NETWORK_QUOTA,
  NETWORK_RESOURCES,
  type NetworkQuota,
  type NetworkResource,
} from '#domain/network/quota.ts';

const TABLES: Readonly<Record<NetworkResource, string>> = {
  network: 'networks',
  subnet: 'subnets',
  port: 'ports',
  router: 'routers',
  floatingip: 'floating_ips',
  security_group: 'security_groups',
  security_group_rule: 'security_group_rules',
};

/** The defaults, and what an administrator has set for this project. */
export async function networkQuota(db: Queries, projectId: string): Promise<NetworkQuota> {
  const rows = await db.selectFrom('network_quotas').selectAll().where('project_id', '=', projectId).execute();
  return { ...DEFAULT_NETWORK_QUOTA, ...Object.fromEntries(rows.map((row) => [row.resource, row.amount])) };
}

/** Throws 409 when the project, which is about to get `more`, would have too many. */
export async function checkNetworkQuota(
  trx: Queries,
  projectId: string,
  resource: NetworkResource,
  more: number,
): Promise<void> {
  const row = await trx
    .selectFrom('network_quotas')
    .select('amount')
    .where('project_id', '=', projectId)
    .where('resource', '=', resource)
    .executeTakeFirst();
  const limit = row?.amount ?? DEFAULT_NETWORK_QUOTA[resource];
  if (limit >= 0 && (await countOf(trx, projectId, resource)) + more > limit)
    throw new CloudError('overQuota', { resource });
}

export async function networkUsage(db: Queries, projectId: string): Promise<NetworkQuota> {
  const counts: [NetworkResource, number][] = [];
  for (const resource of NETWORK_RESOURCES) counts.push([resource, await countOf(db, projectId, resource)]);
  // Every resource is there.
  return Object.fromEntries(counts) as NetworkQuota;
}

/** Of every project for which an administrator has set something. */
export async function projectsWithQuota(db: Queries): Promise<string[]> {
  const rows = await db.selectFrom('network_quotas').select('project_id').distinct().orderBy('project_id').execute();
  return rows.map(({ project_id }) => project_id);
}

export async function setNetworkQuota(trx: Queries, projectId: string, limits: Partial<NetworkQuota>): Promise<void> {
  for (const [resource, amount] of Object.entries(limits))
    await trx
      .insertInto('network_quotas')
      .values({ project_id: projectId, resource, amount })
      .onConflict((conflict) => conflict.columns(['project_id', 'resource']).doUpdateSet({ amount }))
      .execute();
}

/** Back to the defaults. */
export async function resetNetworkQuota(trx: Queries, projectId: string): Promise<void> {
  await trx.deleteFrom('network_quotas').where('project_id', '=', projectId).execute();
}

async function countOf(db: Queries, projectId: string, resource: NetworkResource): Promise<number> {
  const table = sql.table(TABLES[resource]);
  const { rows } = await sql<{
    count: number;
  }>`select count(*) as count from ${table} where project_id = ${projectId}`.execute(db);
  return Number(rows[0]?.count ?? 0);
}
