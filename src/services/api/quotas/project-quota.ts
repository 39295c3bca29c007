/** The limits of one project: the cloud's, and what an administrator has set instead. */
import type { Queries } from '#db/database.ts';
import { computeLimits } from '#db/repo/compute-quotas.ts';
import type { ComputeLimits } from '#domain/compute-quota.ts';
import type { Quota } from '../api-deps.ts';

export async function projectQuota(db: Queries, quota: Quota, projectId: string): Promise<Quota> {
  const set = await computeLimits(db, projectId);
  const limits = { ...limitsOf(quota), ...set };
  return {
    instances: limits.instances,
    cores: limits.cores,
    ramMib: limits.ram,
    metadataItems: limits.metadata_items,
    keyPairs: limits.key_pairs,
    serverGroups: limits.server_groups,
    serverGroupMembers: limits.server_group_members,
  };
}

/** By Nova's names. */
export function limitsOf(quota: Quota): ComputeLimits {
  return {
    instances: quota.instances,
    cores: quota.cores,
    ram: quota.ramMib,
    metadata_items: quota.metadataItems,
    key_pairs: quota.keyPairs,
    server_groups: quota.serverGroups,
    server_group_members: quota.serverGroupMembers,
  };
}
