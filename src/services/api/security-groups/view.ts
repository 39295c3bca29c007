/** Security groups as Nova shows them: with the rules for what may come in, which is all that it knows. */
import type { Queries } from '#db/database.ts';
import type { SecurityGroupRow, SecurityGroupRuleRow } from '#db/tables/network.ts';

interface Rule extends SecurityGroupRuleRow {
  readonly remote_name: string | null;
}

/** In that order, with their rules; one query for all of them. */
export async function shownGroups(
  db: Queries,
  groups: readonly SecurityGroupRow[],
): Promise<Readonly<Record<string, unknown>>[]> {
  if (groups.length === 0) return [];
  const rules = await db
    .selectFrom('security_group_rules')
    .leftJoin('security_groups as remote', 'remote.id', 'security_group_rules.remote_group_id')
    .selectAll('security_group_rules')
    .select('remote.name as remote_name')
    .where(
      'security_group_rules.group_id',
      'in',
      groups.map(({ id }) => id),
    )
    .where('security_group_rules.direction', '=', 'ingress')
    .execute();
  const ofGroup = Map.groupBy(rules, ({ group_id }) => group_id);
  return groups.map((group) => groupView(group, ofGroup.get(group.id) ?? []));
}

function groupView({ id, name, description, project_id }: SecurityGroupRow, rules: readonly Rule[]) {
  return { id, name, description, tenant_id: project_id, rules: rules.map(ruleView) };
}

function ruleView(rule: Rule) {
  const { remote_group_id: remote, ethertype } = rule;
  const everywhere = ethertype === 'IPv6' ? '::/0' : '0.0.0.0/0';
  return {
    id: rule.id,
    parent_group_id: rule.group_id,
    ip_protocol: rule.protocol,
    from_port: rule.port_min,
    to_port: rule.port_max,
    ip_range: remote === null ? { cidr: rule.remote_cidr ?? everywhere } : {},
    group: remote === null ? {} : { name: rule.remote_name, tenant_id: rule.project_id },
  };
}
