/** Floating IPs as lists have them. */
import { sql } from 'kysely';
import type { FloatingIpRow } from '#db/tables/network.ts';
import type { List } from '../list-rows.ts';
import { STANDARD_COLUMNS } from './standard-columns.ts';

export interface ListedFloatingIp extends FloatingIpRow {
  readonly status: 'ACTIVE' | 'DOWN';
}

/** `projectId` null: of all projects. */
export function floatingIpList(projectId: string | null): List {
  return {
    base: sql`select floating_ips.*, case when fixed_port_id is null then 'DOWN' else 'ACTIVE' end as status
      from floating_ips`,
    columns: {
      ...STANDARD_COLUMNS,
      network_id: { type: 'text' },
      address: { type: 'text' },
      port_id: { type: 'text' },
      fixed_port_id: { type: 'text', nullable: true },
      fixed_address: { type: 'text', nullable: true },
      router_id: { type: 'text', nullable: true },
      dns_name: { type: 'text' },
      dns_domain: { type: 'text' },
      status: { type: 'text' },
    },
    seen: projectId === null ? [] : [sql`r.project_id = ${projectId}`],
    where: [],
  };
}
