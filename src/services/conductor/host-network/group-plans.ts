/** Security groups as a host has to know them. */
import type { GroupPlan } from '#contracts/host-network.ts';
import type { Queries } from '#db/database.ts';
import type { SecurityGroupRuleRow } from '#db/tables/network.ts';
import { hexToText } from '#domain/network/address.ts';

/** These groups with their rules, and those that the rules name with the addresses of their ports. */
export async function groupPlans(db: Queries, ids: readonly string[]): Promise<GroupPlan[]> {
  const own = [...new Set(ids)].toSorted();
  if (own.length === 0) return [];
  const rules = await db
    .selectFrom('security_group_rules')
    .selectAll()
    .where('group_id', 'in', own)
    .orderBy('id')
    .execute();
  const byGroup = Map.groupBy(rules, ({ group_id }) => group_id);
  const named = [...new Set(rules.flatMap(({ remote_group_id }) => remote_group_id ?? []))];
  const members = await membersOf(db, named);
  return [...new Set([...own, ...named])].toSorted().map((id) => ({
    id,
    rules: (byGroup.get(id) ?? []).map(rulePlan),
    members: members.get(id) ?? [],
  }));
}

function rulePlan(row: SecurityGroupRuleRow) {
  return {
    direction: row.direction,
    ethertype: row.ethertype,
    protocol: row.protocol,
    min: row.port_min,
    max: row.port_max,
    remoteCidr: row.remote_cidr,
    remoteGroupId: row.remote_group_id,
  };
}

async function membersOf(db: Queries, groupIds: readonly string[]): Promise<Map<string, string[]>> {
  if (groupIds.length === 0) return new Map();
  const rows = await db
    .selectFrom('port_security_groups')
    .innerJoin('port_addresses', 'port_addresses.port_id', 'port_security_groups.port_id')
    .select(['port_security_groups.group_id', 'port_addresses.address'])
    .where('port_security_groups.group_id', 'in', [...groupIds])
    .orderBy('port_addresses.address')
    .execute();
  const grouped = Map.groupBy(rows, ({ group_id }) => group_id);
  return new Map([...grouped].map(([id, each]) => [id, each.map(({ address }) => hexToText(address))]));
}
