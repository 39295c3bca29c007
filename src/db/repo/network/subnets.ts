/** Queries of subnets. A subnet on which addresses are given out has one that its helpers answer at. */
import type { Queries } from '#db/database.ts';
import type { Ipv6Mode, NetworkRow, PortRow, SubnetRow } from '#db/tables/network.ts';
import { CloudError } from '#domain/errors.ts';
import type { Pool } from '#domain/network/cidr.ts';
import { DEVICE_OWNERS } from '#domain/network/device-owners.ts';
import { freeAddress } from './address-allocation.ts';
import { isAutoAddressed } from './fixed-ips.ts';
import { insertPort } from './ports.ts';
import { type Described, standard } from './standard.ts';
import { deleteTags } from './tags.ts';

export interface HostRoute {
  readonly destination: string;
  readonly nexthop: string;
}

export interface NewSubnet extends Described {
  readonly networkId: string;
  readonly ipVersion: 4 | 6;
  readonly cidr: string;
  readonly gateway: string | null;
  readonly enableDhcp: boolean;
  readonly raMode?: Ipv6Mode | null;
  readonly addressMode?: Ipv6Mode | null;
  readonly pools: readonly Pool[];
  readonly dnsNameservers?: readonly string[];
  readonly hostRoutes?: readonly HostRoute[];
}

/** Null where it is not, or the project may not see it; any project's where `projectId` is null. */
export async function findSubnet(db: Queries, id: string, projectId: string | null): Promise<SubnetRow | null> {
  let query = db
    .selectFrom('subnets')
    .innerJoin('networks', 'networks.id', 'subnets.network_id')
    .selectAll('subnets')
    .where('subnets.id', '=', id);
  if (projectId !== null)
    query = query.where((e) => e.or([e('subnets.project_id', '=', projectId), e('networks.shared', '=', 1)]));
  return (await query.executeTakeFirst()) ?? null;
}

/** Oldest first. */
export function subnetsOf(db: Queries, networkIds: readonly string[]): Promise<SubnetRow[]> {
  return db
    .selectFrom('subnets')
    .selectAll()
    .where('network_id', 'in', [...networkIds])
    .orderBy('created_at')
    .orderBy('id')
    .execute();
}

/** That it does not overlap another of its network, and that all in it fits, is the caller's to know. */
export async function insertSubnet(
  trx: Queries,
  network: NetworkRow,
  wanted: NewSubnet,
  now: number,
): Promise<SubnetRow> {
  const row: SubnetRow = {
    ...standard(wanted, now),
    network_id: network.id,
    ip_version: wanted.ipVersion,
    cidr: wanted.cidr,
    gateway_ip: wanted.gateway,
    enable_dhcp: Number(wanted.enableDhcp),
    ipv6_ra_mode: wanted.raMode ?? null,
    ipv6_address_mode: wanted.addressMode ?? null,
    allocation_pools: JSON.stringify(wanted.pools),
    dns_nameservers: JSON.stringify(wanted.dnsNameservers ?? []),
    host_routes: JSON.stringify(wanted.hostRoutes ?? []),
  };
  await trx.insertInto('subnets').values(row).execute();
  if (wanted.enableDhcp) await addServiceAddress(trx, network, row, now);
  return row;
}

/**
 * Where the network's own helpers answer for a subnet: on one port of the network, with an address of each subnet that has
 * them. A subnet too small to have one goes without. Idempotent.
 */
export async function addServiceAddress(
  trx: Queries,
  network: NetworkRow,
  subnet: SubnetRow,
  now: number,
): Promise<void> {
  const port = (await servicePort(trx, network.id)) ?? (await insertServicePort(trx, network, now));
  const has = await trx
    .selectFrom('port_addresses')
    .select('address')
    .where('port_id', '=', port.id)
    .where('subnet_id', '=', subnet.id)
    .executeTakeFirst();
  const address = has ? null : await freeAddress(trx, subnet);
  if (address === null) return;
  await trx.insertInto('port_addresses').values({ port_id: port.id, subnet_id: subnet.id, address }).execute();
}

export async function removeServiceAddress(trx: Queries, subnet: SubnetRow): Promise<void> {
  const port = await servicePort(trx, subnet.network_id);
  if (port)
    await trx.deleteFrom('port_addresses').where('port_id', '=', port.id).where('subnet_id', '=', subnet.id).execute();
}

/**
 * With its service address, and those that guests made of their MACs. Throws 409 while anybody else has an address there.
 */
export async function deleteSubnet(trx: Queries, subnet: SubnetRow): Promise<void> {
  let others = trx
    .selectFrom('port_addresses')
    .innerJoin('ports', 'ports.id', 'port_addresses.port_id')
    .select('ports.id')
    .where('port_addresses.subnet_id', '=', subnet.id)
    .where('ports.device_owner', '<>', DEVICE_OWNERS.dhcp);
  // Guests go on with what they have; the next announcement of their router, or its absence, tells them.
  if (isAutoAddressed(subnet))
    others = others.where('ports.device_owner', 'in', [DEVICE_OWNERS.routerInterface, DEVICE_OWNERS.routerGateway]);
  if (await others.limit(1).executeTakeFirst())
    throw new CloudError('subnetInUse', {
      id: subnet.id,
      reason: 'One or more ports have an IP allocation from this subnet.',
    });
  await trx.deleteFrom('port_addresses').where('subnet_id', '=', subnet.id).execute();
  await trx.deleteFrom('subnets').where('id', '=', subnet.id).execute();
  await deleteTags(trx, [subnet.id]);
}

export function servicePort(db: Queries, networkId: string): Promise<PortRow | undefined> {
  return db
    .selectFrom('ports')
    .selectAll()
    .where('network_id', '=', networkId)
    .where('device_owner', '=', DEVICE_OWNERS.dhcp)
    .executeTakeFirst();
}

async function insertServicePort(trx: Queries, network: NetworkRow, now: number): Promise<PortRow> {
  return insertPort(
    trx,
    {
      projectId: network.project_id,
      networkId: network.id,
      deviceId: `dhcp-${network.id}`,
      deviceOwner: DEVICE_OWNERS.dhcp,
      portSecurity: false,
      fixedIps: [],
    },
    now,
  );
}
