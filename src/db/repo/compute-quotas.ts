/** What an administrator has set for a project; what is not set is the cloud's. */
import type { ComputeLimits, ComputeResource } from '#domain/compute-quota.ts';
import type { Queries } from '../database.ts';

export async function computeLimits(db: Queries, projectId: string): Promise<Partial<ComputeLimits>> {
  const rows = await db.selectFrom('compute_quotas').selectAll().where('project_id', '=', projectId).execute();
  return Object.fromEntries(rows.map(({ resource, amount }) => [resource, amount]));
}

/** The others stay as they are. */
export async function setComputeLimits(trx: Queries, projectId: string, limits: Partial<ComputeLimits>): Promise<void> {
  for (const [resource, amount] of Object.entries(limits) as [ComputeResource, number][])
    await trx
      .insertInto('compute_quotas')
      .values({ project_id: projectId, resource, amount })
      .onConflict((conflict) => conflict.columns(['project_id', 'resource']).doUpdateSet({ amount }))
      .execute();
}

/** Back to the cloud's. */
export async function resetComputeLimits(trx: Queries, projectId: string): Promise<void> {
  await trx.deleteFrom('compute_quotas').where('project_id', '=', projectId).execute();
}
