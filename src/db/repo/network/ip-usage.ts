/** Addresses of networks, and how many of them are in use. */
import type { Queries } from '#db/database.ts';
import { sizeOf } from '#domain/network/cidr.ts';
import { poolsOf } from './address-allocation.ts';

export interface IpUsage {
  readonly id: string;
  readonly name: string;
  readonly projectId: string;
  readonly subnets: readonly {
    readonly id: string;
    readonly name: string;
    readonly cidr: string;
    readonly ipVersion: 4 | 6;
    /** Of its pools. */
    readonly total: number;
    readonly used: number;
  }[];
}

/** Of one network, or of all by name. */
export async function ipUsage(db: Queries, networkId: string | null): Promise<IpUsage[]> {
  let query = db.selectFrom('networks').select(['id', 'name', 'project_id']);
  if (networkId !== null) query = query.where('id', '=', networkId);
  const networks = await query.orderBy('name').orderBy('id').execute();
  let inThem = db.selectFrom('subnets').selectAll();
  if (networkId !== null) inThem = inThem.where('network_id', '=', networkId);
  const subnets = Map.groupBy(await inThem.orderBy('created_at').orderBy('id').execute(), (row) => row.network_id);
  const counts = await db
    .selectFrom('port_addresses')
    .select((e) => ['subnet_id', e.fn.countAll<number>().as('count')])
    .groupBy('subnet_id')
    .execute();
  const used = new Map(counts.map(({ subnet_id, count }) => [subnet_id, Number(count)]));
  return networks.map(({ id, name, project_id }) => ({
    id,
    name,
    projectId: project_id,
    subnets: (subnets.get(id) ?? []).map((subnet) => ({
      id: subnet.id,
      name: subnet.name,
      cidr: subnet.cidr,
      ipVersion: subnet.ip_version,
      total: Number(poolsOf(subnet).reduce((sum, pool) => sum + sizeOf(pool), 0n)),
      used: used.get(subnet.id) ?? 0,
    })),
  }));
}
