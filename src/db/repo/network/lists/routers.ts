/** Routers as lists have them. */
import { sql } from 'kysely';
import type { RouterRow } from '#db/tables/network.ts';
import type { List } from '../list-rows.ts';
import { STANDARD_COLUMNS } from './standard-columns.ts';

export interface ListedRouter extends RouterRow {
  readonly status: 'ACTIVE';
}

/** `projectId` null: of all projects. */
export function routerList(projectId: string | null): List {
  return {
    base: sql`select routers.*, 'ACTIVE' as status from routers`,
    columns: {
      ...STANDARD_COLUMNS,
      name: { type: 'text' },
      admin_state_up: { type: 'number' },
      enable_snat: { type: 'number' },
      status: { type: 'text' },
    },
    seen: projectId === null ? [] : [sql`r.project_id = ${projectId}`],
    where: [],
  };
}
