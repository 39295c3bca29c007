/** Queries of the servers that are on hosts. */
import type { Queries } from '../database.ts';
import type { ServerRow } from '../tables/compute.ts';

export type ServerOnHost = Pick<ServerRow, 'id' | 'name'>;

/** The servers of each host that has any, oldest first. */
export async function serversByHost(db: Queries, hosts: readonly string[]): Promise<Map<string, ServerOnHost[]>> {
  if (hosts.length === 0) return new Map();
  const rows = await db
    .selectFrom('servers')
    .select(['id', 'name', 'host'])
    .where('host', 'in', [...hosts])
    .where('deleted_at', 'is', null)
    .orderBy('created_at')
    .orderBy('id')
    .execute();
  const grouped = Map.groupBy(rows, (row) => row.host ?? '');
  return new Map([...grouped].map(([host, servers]) => [host, servers.map(({ id, name }) => ({ id, name }))]));
}

export interface Load {
  readonly servers: number;
  /** Those of them with something in flight. */
  readonly busy: number;
}

export const NO_LOAD: Load = { servers: 0, busy: 0 };

/** Of every host that has servers. */
export async function loadByHost(db: Queries): Promise<Map<string, Load>> {
  const rows = await db
    .selectFrom('servers')
    .select((e) => ['host', e.fn.count<number>('id').as('servers'), e.fn.count<number>('task_state').as('busy')])
    .where('deleted_at', 'is', null)
    .where('host', 'is not', null)
    .groupBy('host')
    .execute();
  return new Map(rows.map((row) => [row.host ?? '', { servers: Number(row.servers), busy: Number(row.busy) }]));
}
