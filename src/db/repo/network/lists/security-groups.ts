/** Security groups and their rules as lists have them. */
import { sql } from 'kysely';
import type { List } from '../list-rows.ts';
import { STANDARD_COLUMNS } from './standard-columns.ts';

/** `projectId` null: of all projects. */
export function securityGroupList(projectId: string | null): List {
  return {
    base: sql`select * from security_groups`,
    columns: {
      ...STANDARD_COLUMNS,
      name: { type: 'text' },
      stateful: { type: 'number' },
      is_default: { type: 'number' },
    },
    seen: projectId === null ? [] : [sql`r.project_id = ${projectId}`],
    where: [],
  };
}

/** `projectId` null: of all projects. */
export function securityGroupRuleList(projectId: string | null): List {
  return {
    base: sql`select * from security_group_rules`,
    columns: {
      ...STANDARD_COLUMNS,
      group_id: { type: 'text' },
      direction: { type: 'text' },
      ethertype: { type: 'text' },
      protocol: { type: 'text', nullable: true },
      port_min: { type: 'number', nullable: true },
      port_max: { type: 'number', nullable: true },
      remote_cidr: { type: 'text', nullable: true },
      remote_group_id: { type: 'text', nullable: true },
    },
    seen: projectId === null ? [] : [sql`r.project_id = ${projectId}`],
    where: [],
  };
}
