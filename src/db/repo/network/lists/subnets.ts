/** Subnets as lists have them. Those of a shared network are everybody's to see. */
import { sql } from 'kysely';
import type { SubnetRow } from '#db/tables/network.ts';
import type { List } from '../list-rows.ts';
import { STANDARD_COLUMNS } from './standard-columns.ts';

export interface ListedSubnet extends SubnetRow {
  readonly shared: number;
  readonly external: number;
}

/** `projectId` null: of all projects. */
export function subnetList(projectId: string | null): List {
  return {
    base: sql`select subnets.*, networks.shared, networks.external from subnets
      join networks on networks.id = subnets.network_id`,
    columns: {
      ...STANDARD_COLUMNS,
      name: { type: 'text' },
      network_id: { type: 'text' },
      ip_version: { type: 'number' },
      cidr: { type: 'text' },
      gateway_ip: { type: 'text', nullable: true },
      enable_dhcp: { type: 'number' },
      ipv6_ra_mode: { type: 'text', nullable: true },
      ipv6_address_mode: { type: 'text', nullable: true },
      shared: { type: 'number' },
      external: { type: 'number' },
    },
    seen:
      projectId === null ? [] : [sql`r.project_id = ${projectId}`, sql`r.shared = 1 and r.project_id <> ${projectId}`],
    where: [],
  };
}
