/** What guests may know of themselves, and the cards they have: servers with all that they have of the network, in a few queries. */
import type { AddressFacts, GuestFacts, NicFacts, PortFacts } from '#domain/metadata/facts.ts';
import { cidrFrom } from '#domain/network/cidr.ts';
import type { Queries } from '../database.ts';
import type { ServerRow } from '../tables/compute.ts';
import type { SubnetRow } from '../tables/network.ts';
import { floatingIpsByPort, type Translated } from './network/floating-ip-lookup.ts';
import { groupsByPort } from './network/security-groups.ts';
import { portsOfServers, type ServerPort } from './network/server-ports.ts';
import { subnetsOf } from './network/subnets.ts';

/** By server id; all of them are there. */
export async function guestFacts(db: Queries, rows: readonly ServerRow[]): Promise<Map<string, GuestFacts>> {
  const ports = await portsOfServers(
    db,
    rows.map(({ id }) => id),
  );
  const all = [...ports.values()].flat();
  const portIds = all.map(({ id }) => id);
  const networkIds = [...new Set(all.map(({ networkId }) => networkId))];
  const world: World = {
    subnets: new Map((networkIds.length === 0 ? [] : await subnetsOf(db, networkIds)).map((row) => [row.id, row])),
    mtus: await mtusOf(db, networkIds),
    floating: await floatingIpsByPort(db, portIds),
  };
  const groups = await groupsByPort(db, portIds);
  return new Map(
    rows.map((row) => {
      const own = ports.get(row.id) ?? [];
      const nics = [...cardsWithoutPorts(row), ...own.map((port) => nicOf(port, world))];
      const securityGroups = [
        ...new Set(own.flatMap(({ id }) => (groups.get(id) ?? []).map(({ name }) => name))),
      ].toSorted();
      return [row.id, { ...factsOf(row), securityGroups, nics }];
    }),
  );
}

interface World {
  readonly subnets: ReadonlyMap<string, SubnetRow>;
  /** By network. */
  readonly mtus: ReadonlyMap<string, number>;
  /** By port. */
  readonly floating: ReadonlyMap<string, readonly Translated[]>;
}

function factsOf(row: ServerRow): Omit<GuestFacts, 'securityGroups' | 'nics'> {
  return {
    id: row.id,
    name: row.name,
    hostname: row.hostname,
    projectId: row.project_id,
    imageId: row.image_id,
    flavorName: (JSON.parse(row.flavor) as { name: string }).name,
    reservationId: row.reservation_id,
    launchIndex: row.launch_index,
    availabilityZone: row.availability_zone ?? 'nova',
    metadata: JSON.parse(row.metadata),
    key: row.public_key === null ? null : { name: row.key_name ?? 'key', publicKey: row.public_key },
    userData: row.user_data,
  };
}

/** Of servers from before there was a network service. */
function cardsWithoutPorts(row: ServerRow): NicFacts[] {
  return (JSON.parse(row.nics) as { mac: string }[]).map(({ mac }) => ({ mac, port: null }));
}

function nicOf({ id, mac, networkId, fixedIps }: ServerPort, world: World): NicFacts {
  const addresses = fixedIps.flatMap(({ subnetId, address }) => {
    const subnet = world.subnets.get(subnetId);
    const floating = world.floating.get(id)?.find((each) => each.fixedAddress === address)?.address ?? null;
    return subnet ? addressOf(address, subnet, floating) : [];
  });
  const port: PortFacts = { id, networkId, mtu: world.mtus.get(networkId) ?? 1450, addresses };
  return { mac, port };
}

function addressOf(address: string, subnet: SubnetRow, floating: string | null): AddressFacts {
  const by = subnet.ip_version === 4 ? ('dhcp' as const) : subnet.ipv6_address_mode;
  return {
    address,
    version: subnet.ip_version,
    prefix: cidrFrom(subnet.cidr).prefix,
    gateway: subnet.gateway_ip,
    by: subnet.enable_dhcp === 1 ? by : null,
    dnsServers: JSON.parse(subnet.dns_nameservers),
    routes: JSON.parse(subnet.host_routes),
    floating,
  };
}

async function mtusOf(db: Queries, networkIds: readonly string[]): Promise<Map<string, number>> {
  if (networkIds.length === 0) return new Map();
  const rows = await db
    .selectFrom('networks')
    .select(['id', 'mtu'])
    .where('id', 'in', [...networkIds])
    .execute();
  return new Map(rows.map(({ id, mtu }) => [id, mtu]));
}
