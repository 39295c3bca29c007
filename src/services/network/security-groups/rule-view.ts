/** Rules as the API has them, by themselves and inside their group. */
import type { SecurityGroupRuleRow } from '#db/tables/network.ts';
import { formatCidr, parseCidr } from '#domain/network/cidr.ts';
import type { View } from '../resource/collection.ts';
import { standardView } from '../resource/standard-view.ts';

export function ruleView(row: SecurityGroupRuleRow): View {
  const cidr = row.remote_cidr === null ? null : parseCidr(row.remote_cidr);
  return {
    ...standardView(row),
    security_group_id: row.group_id,
    direction: row.direction,
    ethertype: row.ethertype,
    protocol: row.protocol,
    port_range_min: row.port_min,
    port_range_max: row.port_max,
    remote_ip_prefix: row.remote_cidr,
    remote_group_id: row.remote_group_id,
    remote_address_group_id: null,
    normalized_cidr: cidr && formatCidr(cidr),
  };
}
