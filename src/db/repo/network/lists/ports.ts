/** Ports as lists have them: with their state and host, which are those of what they belong to. */
import { sql } from 'kysely';
import type { HostRow } from '#db/tables/compute.ts';
import type { PortRow } from '#db/tables/network.ts';
import type { List } from '../list-rows.ts';
import { STANDARD_COLUMNS } from './standard-columns.ts';

export interface ListedPort extends PortRow {
  readonly status: 'ACTIVE' | 'DOWN' | 'N/A';
  /** Empty for none. */
  readonly host: string;
  /** How that host runs networks; null where there is none. */
  readonly network_kind: HostRow['network_kind'] | null;
  readonly dns_domain: string;
}

/** Each says something only when it is given. */
export interface PortConditions {
  /** It has one of these; as the record keeps addresses. */
  readonly addresses?: readonly string[];
  readonly subnetIds?: readonly string[];
  readonly securityGroupIds?: readonly string[];
}

/** Those of the project, and all on its networks; `projectId` null: of all projects. */
export function portList(projectId: string | null, asked: PortConditions = {}): List {
  return {
    base: sql`select ports.*, networks.dns_domain,
      coalesce(servers.host, ports.binding_host) as host, hosts.network_kind,
      case when ports.device_owner = 'network:floatingip' then 'N/A'
        when ports.admin_state_up = 1 and (ports.device_owner like 'network:%'
          or servers.host is not null and servers.power_state in (1, 3)) then 'ACTIVE'
        else 'DOWN' end as status
      from ports join networks on networks.id = ports.network_id
      left join servers on servers.id = ports.device_id and servers.deleted_at is null
        and ports.device_owner like 'compute:%'
      left join hosts on hosts.name = servers.host`,
    columns: {
      ...STANDARD_COLUMNS,
      name: { type: 'text' },
      network_id: { type: 'text' },
      mac_address: { type: 'text' },
      admin_state_up: { type: 'number' },
      device_id: { type: 'text' },
      device_owner: { type: 'text' },
      port_security: { type: 'number' },
      dns_name: { type: 'text' },
      vnic_type: { type: 'text' },
      host: { type: 'text' },
      status: { type: 'text' },
    },
    seen:
      projectId === null
        ? []
        : [
            sql`r.project_id = ${projectId}`,
            sql`(r.network_project = ${projectId} and r.project_id <> r.network_project)`,
          ],
    where: [
      ...(asked.addresses ? [among('port_addresses', 'address', asked.addresses)] : []),
      ...(asked.subnetIds ? [among('port_addresses', 'subnet_id', asked.subnetIds)] : []),
      ...(asked.securityGroupIds ? [among('port_security_groups', 'group_id', asked.securityGroupIds)] : []),
    ],
  };
}

function among(table: string, column: string, values: readonly string[]) {
  if (values.length === 0) return sql`1 = 0`;
  return sql`r.id in (select m.port_id from ${sql.table(table)} as m where ${sql.ref(`m.${column}`)} in (${sql.join(values)}))`;
}
