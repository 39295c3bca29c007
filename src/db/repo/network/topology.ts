/** A network with a subnet behind a router with a way out: what a project begins with. */
import type { Queries } from '#db/database.ts';
import type { NetworkRow } from '#db/tables/network.ts';
import { CloudError } from '#domain/errors.ts';
import { formatAddress } from '#domain/network/address.ts';
import { cidrFrom, defaultPools, formatPool, usable } from '#domain/network/cidr.ts';
import { insertNetwork } from './networks.ts';
import { checkNetworkQuota } from './quotas.ts';
import { addInterface, insertRouter, setGateway } from './routers.ts';
import { insertSubnet } from './subnets.ts';

export interface WantedTopology {
  readonly projectId: string;
  readonly network: string;
  readonly subnet: string;
  readonly router: string;
  readonly cidr: string;
  /** The external network; null: no way out. */
  readonly externalId: string | null;
}

export interface Topology {
  readonly networkId: string;
  readonly routerId: string;
}

export async function insertTopology(trx: Queries, wanted: WantedTopology, now: number): Promise<Topology> {
  const { projectId } = wanted;
  const network = await insertNetwork(trx, { projectId, name: wanted.network }, now);
  const cidr = cidrFrom(wanted.cidr);
  const gateway = { version: cidr.version, value: usable(cidr).first };
  const subnet = await insertSubnet(
    trx,
    network,
    {
      projectId,
      networkId: network.id,
      name: wanted.subnet,
      ipVersion: cidr.version,
      cidr: wanted.cidr,
      gateway: formatAddress(gateway),
      enableDhcp: true,
      pools: defaultPools(cidr, gateway).map(formatPool),
    },
    now,
  );
  const router = await insertRouter(trx, { projectId, name: wanted.router }, now);
  const wish = { subnetId: subnet.id, address: formatAddress(gateway) };
  await addInterface(trx, router, network.id, wish, now);
  if (wanted.externalId !== null) await setGateway(trx, router.id, wanted.externalId, undefined, now);
  return { networkId: network.id, routerId: router.id };
}

/** Null where the project has none yet. */
export async function autoTopologyOf(db: Queries, projectId: string): Promise<Topology | null> {
  const row = await db.selectFrom('auto_topologies').selectAll().where('project_id', '=', projectId).executeTakeFirst();
  return row ? { networkId: row.network_id, routerId: row.router_id } : null;
}

/** The external network that an administrator made the default, if any. */
export function defaultExternal(db: Queries): Promise<NetworkRow | undefined> {
  return db.selectFrom('networks').selectAll().where('external', '=', 1).where('is_default', '=', 1).executeTakeFirst();
}

const AUTO_CIDR = '10.0.0.0/24';

/**
 * The network that a project gets which asked for any: made at the first time, the same ever after. Throws 400 where there is no
 * default external network, 409 over the quota.
 */
export async function ensureAutoTopology(trx: Queries, projectId: string, now: number): Promise<Topology> {
  const known = await autoTopologyOf(trx, projectId);
  if (known) return known;
  const external = await requireDefaultExternal(trx);
  for (const resource of ['network', 'subnet', 'router'] as const) await checkNetworkQuota(trx, projectId, resource, 1);
  const names = {
    network: 'auto_allocated_network',
    subnet: 'auto_allocated_subnet_v4',
    router: 'auto_allocated_router',
  };
  const made = await insertTopology(trx, { projectId, ...names, cidr: AUTO_CIDR, externalId: external.id }, now);
  await trx
    .insertInto('auto_topologies')
    .values({ project_id: projectId, network_id: made.networkId, router_id: made.routerId })
    .execute();
  return made;
}

/** Throws 400 where there is none. */
export async function requireDefaultExternal(db: Queries): Promise<NetworkRow> {
  const external = await defaultExternal(db);
  if (external) return external;
  throw new CloudError('autoAllocationFailure', { reason: 'No default router:external network' });
}
