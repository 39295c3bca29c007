/**
 * What the networks of a host shall be, as the record says now: the networks of the servers that have room on the host, and of the
 * routers that are there. A dozen queries, whatever the host has.
 */
import type { HostNetwork, NetworkPlan, PortPlan, SubnetPlan } from '#contracts/host-network.ts';
import type { Queries } from '#db/database.ts';
import { type Port, withDetails } from '#db/repo/network/ports.ts';
import { subnetsOf } from '#db/repo/network/subnets.ts';
import type { NetworkRow, PortRow, SubnetRow } from '#db/tables/network.ts';
import { cidrFrom } from '#domain/network/cidr.ts';
import { DEVICE_OWNERS } from '#domain/network/device-owners.ts';
import { groupPlans } from './group-plans.ts';
import { type HostedRouter, routersOn } from './router-plans.ts';

/** Behind the names of guests whose network has no domain. */
const DOMAIN = 'openstacklocal';

type LivePort = PortRow & Pick<Port, 'fixedIps' | 'securityGroupIds'>;

/** Of networks that are to have a router here, `claimRouters` has been asked before. */
export async function hostPlan(db: Queries, host: string): Promise<HostNetwork> {
  const local = await localPorts(db, host);
  const routers = await routersOn(db, host);
  const ids = [...new Set([...local.map(({ network_id }) => network_id), ...routers.flatMap(networksOf)])];
  if (ids.length === 0) return { networks: [], groups: [], routers: [] };
  const rows = await db.selectFrom('networks').selectAll().where('id', 'in', ids).orderBy('id').execute();
  const parts = {
    subnets: Map.groupBy(await subnetsOf(db, ids), ({ network_id }) => network_id),
    servers: Map.groupBy(await serverPorts(db, ids), ({ network_id }) => network_id),
    helpers: await helperAddresses(db, ids),
    peers: await peersOf(db, ids, host),
    local: Map.groupBy(local, ({ network_id }) => network_id),
  };
  return {
    networks: rows.map((row) => networkPlan(row, parts)),
    groups: await groupPlans(
      db,
      local.flatMap(({ securityGroupIds }) => securityGroupIds),
    ),
    routers: routers.map(({ plan }) => plan),
  };
}

interface Parts {
  readonly subnets: ReadonlyMap<string, readonly SubnetRow[]>;
  readonly servers: ReadonlyMap<string, readonly LivePort[]>;
  /** By subnet: where the network's own helpers answer. */
  readonly helpers: ReadonlyMap<string, string>;
  readonly peers: ReadonlyMap<string, readonly string[]>;
  readonly local: ReadonlyMap<string, readonly LivePort[]>;
}

function networkPlan(row: NetworkRow, parts: Parts): NetworkPlan {
  const { id, vni, mtu, dns_domain, external } = row;
  const named = (parts.servers.get(id) ?? []).filter(({ dns_name }) => dns_name !== '');
  return {
    id,
    vni,
    mtu,
    domain: dns_domain.replace(/\.$/, '') || DOMAIN,
    external: external === 1,
    subnets: (parts.subnets.get(id) ?? []).map((subnet) => subnetPlan(subnet, parts.helpers.get(subnet.id))),
    ports: (parts.local.get(id) ?? []).map((port) => portPlan(port, row)),
    names: named.map(({ dns_name, fixedIps }) => ({
      hostname: dns_name,
      addresses: fixedIps.map(({ address }) => address),
    })),
    peers: [...(parts.peers.get(id) ?? [])],
  };
}

function subnetPlan(row: SubnetRow, server: string | undefined): SubnetPlan {
  const { id, cidr, gateway_ip: gateway } = row;
  // One too small has no address left for the service, and DHCPv6 of the hosts gives out none of more than a /64.
  const isTooLarge = row.ip_version === 6 && cidrFrom(cidr).prefix < 64;
  if (row.enable_dhcp === 0 || server === undefined || isTooLarge) return { id, cidr, gateway, dhcp: null };
  const dhcp = {
    server,
    dnsServers: JSON.parse(row.dns_nameservers),
    routes: JSON.parse(row.host_routes),
    mode: row.ipv6_address_mode,
  };
  return { id, cidr, gateway, dhcp };
}

function portPlan(port: LivePort, network: NetworkRow): PortPlan {
  const pairs = JSON.parse(port.allowed_address_pairs) as { mac_address: string; ip_address: string }[];
  return {
    id: port.id,
    serverId: port.device_id,
    mac: port.mac_address,
    addresses: [...port.fixedIps],
    up: port.admin_state_up === 1 && network.admin_state_up === 1,
    groups: port.port_security === 1 ? [...port.securityGroupIds] : null,
    // A pair without a MAC is of the port's own.
    allowedPairs: pairs.map(({ mac_address, ip_address }) => ({
      mac: mac_address || port.mac_address,
      cidr: asRange(ip_address),
    })),
  };
}

function asRange(address: string): string {
  if (address.includes('/')) return address;
  return `${address}/${address.includes(':') ? 128 : 32}`;
}

/** Of servers that have room there: while one moves, it has some on two hosts. */
async function localPorts(db: Queries, host: string): Promise<LivePort[]> {
  const rows = await db
    .selectFrom('ports')
    .selectAll()
    .where('device_owner', 'like', 'compute:%')
    .where('device_id', 'in', (e) => e.selectFrom('allocations').select('server_id').where('host', '=', host))
    .orderBy('id')
    .execute();
  return withDetails(db, rows);
}

async function serverPorts(db: Queries, networkIds: readonly string[]): Promise<LivePort[]> {
  const rows = await db
    .selectFrom('ports')
    .selectAll()
    .where('network_id', 'in', [...networkIds])
    .where('device_owner', 'like', 'compute:%')
    .orderBy('id')
    .execute();
  return withDetails(db, rows);
}

/** By subnet. */
async function helperAddresses(db: Queries, networkIds: readonly string[]): Promise<Map<string, string>> {
  const rows = await db
    .selectFrom('ports')
    .selectAll()
    .where('network_id', 'in', [...networkIds])
    .where('device_owner', '=', DEVICE_OWNERS.dhcp)
    .execute();
  const ports = await withDetails(db, rows);
  return new Map(
    ports.flatMap(({ fixedIps }) => fixedIps.map(({ subnetId, address }) => [subnetId, address] as const)),
  );
}

/** By network: where the other hosts are reached that have guests or routers on it. */
async function peersOf(db: Queries, networkIds: readonly string[], host: string): Promise<Map<string, string[]>> {
  const ofServers = db
    .selectFrom('ports')
    .innerJoin('allocations', 'allocations.server_id', 'ports.device_id')
    .innerJoin('hosts', 'hosts.name', 'allocations.host')
    .select(['ports.network_id', 'hosts.network_address as address'])
    .where('ports.network_id', 'in', [...networkIds])
    .where('hosts.name', '!=', host)
    .where('hosts.network_kind', '!=', 'none');
  const ofRouters = db
    .selectFrom('ports')
    .innerJoin('routers', 'routers.id', 'ports.device_id')
    .innerJoin('hosts', 'hosts.name', 'routers.host')
    .select(['ports.network_id', 'hosts.network_address as address'])
    .where('ports.network_id', 'in', [...networkIds])
    .where('hosts.name', '!=', host)
    .where('hosts.network_kind', '!=', 'none');
  const rows = (await ofServers.union(ofRouters).execute()).filter(({ address }) => address !== '');
  const grouped = Map.groupBy(rows, ({ network_id }) => network_id);
  return new Map([...grouped].map(([id, each]) => [id, each.map(({ address }) => address).toSorted()]));
}

function networksOf({ plan }: HostedRouter): string[] {
  return [...plan.interfaces, plan.gateway ?? []].flat().map(({ networkId }) => networkId);
}
