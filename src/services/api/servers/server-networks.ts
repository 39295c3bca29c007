/** What of the network service a server shows: its addresses and its security groups. */
import type { Queries } from '#db/database.ts';
import { floatingIpsByPort } from '#db/repo/network/floating-ip-lookup.ts';
import { groupsByPort } from '#db/repo/network/security-groups.ts';
import { portsOfServers, type ServerPort } from '#db/repo/network/server-ports.ts';

export interface ShownAddress {
  readonly version: 4 | 6;
  readonly addr: string;
  readonly 'OS-EXT-IPS:type': 'fixed' | 'floating';
  readonly 'OS-EXT-IPS-MAC:mac_addr': string;
}

export interface ServerNetworks {
  /** By the names of networks. */
  readonly addresses: Readonly<Record<string, readonly ShownAddress[]>>;
  /** Names, sorted. */
  readonly securityGroups: readonly string[];
}

const NONE: ServerNetworks = { addresses: {}, securityGroups: [] };

/** Of many servers at once, in four queries; answers for any id. */
export async function serverNetworks(
  db: Queries,
  serverIds: readonly string[],
): Promise<(serverId: string) => ServerNetworks> {
  const ports = await portsOfServers(db, serverIds);
  const portIds = [...ports.values()].flat().map(({ id }) => id);
  const [floating, groups] = await Promise.all([floatingIpsByPort(db, portIds), groupsByPort(db, portIds)]);
  const shown = new Map(
    [...ports].map(([serverId, own]): [string, ServerNetworks] => [
      serverId,
      {
        addresses: Object.fromEntries(
          [...Map.groupBy(own, ({ networkName }) => networkName)].map(([name, each]) => [
            name,
            each.flatMap((port) => addressesOf(port, floating.get(port.id) ?? [])),
          ]),
        ),
        securityGroups: [
          ...new Set(own.flatMap(({ id }) => (groups.get(id) ?? []).map(({ name }) => name))),
        ].toSorted(),
      },
    ]),
  );
  return (serverId) => shown.get(serverId) ?? NONE;
}

function addressesOf(
  { mac, fixedIps }: ServerPort,
  floating: readonly { readonly address: string; readonly fixedAddress: string }[],
): ShownAddress[] {
  const shown = (addr: string, type: 'fixed' | 'floating') => ({
    version: addr.includes(':') ? (6 as const) : (4 as const),
    addr,
    'OS-EXT-IPS:type': type,
    'OS-EXT-IPS-MAC:mac_addr': mac,
  });
  return fixedIps.flatMap(({ address }) => [
    shown(address, 'fixed'),
    ...floating.filter(({ fixedAddress }) => fixedAddress === address).map((each) => shown(each.address, 'floating')),
  ]);
}
