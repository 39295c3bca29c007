/** Which hosts have to do with networks: those with guests there, and those with routers that lead there. */
import type { Queries } from '#db/database.ts';

/** Names of hosts that run networks; sorted, each once. */
export async function hostsOfNetworks(db: Queries, networkIds: readonly string[]): Promise<string[]> {
  if (networkIds.length === 0) return [];
  const ofServers = db
    .selectFrom('ports')
    .innerJoin('allocations', 'allocations.server_id', 'ports.device_id')
    .innerJoin('hosts', 'hosts.name', 'allocations.host')
    .select('hosts.name')
    .where('ports.network_id', 'in', [...networkIds])
    .where('hosts.network_kind', '!=', 'none');
  const ofRouters = db
    .selectFrom('ports')
    .innerJoin('routers', 'routers.id', 'ports.device_id')
    .innerJoin('hosts', 'hosts.name', 'routers.host')
    .select('hosts.name')
    .where('ports.network_id', 'in', [...networkIds])
    .where('hosts.network_kind', '!=', 'none');
  return (await ofServers.union(ofRouters).execute()).map(({ name }) => name).toSorted();
}
