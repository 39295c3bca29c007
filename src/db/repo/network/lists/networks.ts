/** Networks as lists have them. */
import { sql } from 'kysely';
import type { NetworkRow } from '#db/tables/network.ts';
import type { List } from '../list-rows.ts';
import { STANDARD_COLUMNS } from './standard-columns.ts';

export interface ListedNetwork extends NetworkRow {
  readonly status: 'ACTIVE';
}

/** `projectId` null: of all projects. */
export function networkList(projectId: string | null): List {
  return {
    base: sql`select networks.*, 'ACTIVE' as status from networks`,
    columns: {
      ...STANDARD_COLUMNS,
      name: { type: 'text' },
      admin_state_up: { type: 'number' },
      shared: { type: 'number' },
      external: { type: 'number' },
      is_default: { type: 'number' },
      mtu: { type: 'number' },
      port_security: { type: 'number' },
      dns_domain: { type: 'text' },
      vni: { type: 'number' },
      status: { type: 'text' },
    },
    seen:
      projectId === null
        ? []
        : [sql`r.project_id = ${projectId}`, sql`(r.shared = 1 or r.external = 1) and r.project_id <> ${projectId}`],
    where: [],
  };
}
