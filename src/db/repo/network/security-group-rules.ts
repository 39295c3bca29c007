/** Rules of security groups. They are never changed, only made and deleted. */
import { randomUUID } from 'node:crypto';
import type { Queries } from '#db/database.ts';
import type { SecurityGroupRuleRow } from '#db/tables/network.ts';

export interface NewRule {
  readonly groupId: string;
  readonly projectId: string;
  readonly direction: 'ingress' | 'egress';
  readonly ethertype: 'IPv4' | 'IPv6';
  readonly protocol?: string | null;
  readonly portMin?: number | null;
  readonly portMax?: number | null;
  readonly remoteCidr?: string | null;
  readonly remoteGroupId?: string | null;
  readonly description?: string;
}

export async function insertRule(trx: Queries, wanted: NewRule, now: number): Promise<SecurityGroupRuleRow> {
  const row: SecurityGroupRuleRow = {
    id: randomUUID(),
    project_id: wanted.projectId,
    description: wanted.description ?? '',
    created_at: now,
    updated_at: now,
    revision: 0,
    group_id: wanted.groupId,
    direction: wanted.direction,
    ethertype: wanted.ethertype,
    protocol: wanted.protocol ?? null,
    port_min: wanted.portMin ?? null,
    port_max: wanted.portMax ?? null,
    remote_cidr: wanted.remoteCidr ?? null,
    remote_group_id: wanted.remoteGroupId ?? null,
  };
  await trx.insertInto('security_group_rules').values(row).execute();
  return row;
}

/** By group, of each that has any, oldest first; those made together in an order that stays. */
export async function rulesByGroup(
  db: Queries,
  groupIds: readonly string[],
): Promise<Map<string, SecurityGroupRuleRow[]>> {
  if (groupIds.length === 0) return new Map();
  const rows = await db
    .selectFrom('security_group_rules')
    .selectAll()
    .where('group_id', 'in', [...groupIds])
    .orderBy('created_at')
    .orderBy('direction')
    .orderBy('ethertype')
    .orderBy('id')
    .execute();
  return Map.groupBy(rows, ({ group_id }) => group_id);
}

/** Null where it is not; any project's where `projectId` is null. */
export async function findRule(
  db: Queries,
  id: string,
  projectId: string | null,
): Promise<SecurityGroupRuleRow | null> {
  let query = db.selectFrom('security_group_rules').selectAll().where('id', '=', id);
  if (projectId !== null) query = query.where('project_id', '=', projectId);
  return (await query.executeTakeFirst()) ?? null;
}

export async function deleteRule(trx: Queries, id: string): Promise<void> {
  await trx.deleteFrom('security_group_rules').where('id', '=', id).execute();
}
