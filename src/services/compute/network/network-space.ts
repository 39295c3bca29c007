/** What a network's namespace has. */
import type { GroupPlan, NetworkPlan, RouterPlan } from '#contracts/host-network.ts';
import { familyOf, prefixOf } from './addresses.ts';
import type { Identities } from './identities.ts';
import { BRIDGE, META, type Names, plugName, TUNNEL, tapName, UPLINK } from './names.ts';
import { type Cable, type Space, wire } from './space.ts';
import { bridgeMac, bridgeRules, METADATA, macsOf } from './texts/bridge-rules.ts';
import { networkDnsmasq } from './texts/dnsmasq-config.ts';
import { groupRules, type Tracking } from './texts/group-rules.ts';
import type { Link } from './texts/links.ts';
import { networkNat } from './texts/network-nat.ts';

/** What does not depend on the plan. */
export interface Surroundings {
  readonly names: Names;
  readonly identities: Identities;
  readonly tracking: Tracking;
  /** Port of the metadata service at `identities.service`. */
  readonly metadataPort: number;
  readonly resolvers: readonly string[];
  /** Where tunnels go out; the address is null where the kernel may choose. */
  readonly underlay: { readonly address: string | null; readonly port: number };
  /** A bridge of the machine that external networks are joined to; null: the host is their gateway. */
  readonly externalBridge: string | null;
}

export const portHolder = (id: string) => `port ${id}`;
export const networkHolder = (id: string) => `network ${id}`;

export function networkSpace(
  network: NetworkPlan,
  plan: { readonly groups: readonly GroupPlan[]; readonly routers: readonly RouterPlan[] },
  around: Surroundings,
): Space {
  const { names, identities } = around;
  const name = names.network(network.id);
  const numberOf = (portId: string) => identities.numberOf(portHolder(portId));
  const identityOf = (portId: string) => ({
    number: numberOf(portId),
    address: identities.addressOf(portHolder(portId)),
  });
  const service = { address: identities.service, port: around.metadataPort };
  const taps = network.ports.map((port) => tap(network, port));
  return {
    name,
    what: `network ${network.id}`,
    settings: {
      'net/ipv4/ip_forward': 1,
      'net/ipv4/conf/all/rp_filter': 0,
      'net/ipv4/conf/default/rp_filter': 0,
      'net/ipv4/conf/all/send_redirects': 0,
      'net/ipv4/conf/default/send_redirects': 0,
      'net/ipv4/conf/all/promote_secondaries': 1,
      'net/ipv6/conf/all/accept_ra': 0,
      // A guest that was here before comes back with connections that went on elsewhere.
      'net/netfilter/nf_conntrack_tcp_be_liberal': 1,
      'net/ipv6/conf/default/accept_ra': 0,
      ...(around.tracking === 'inet' && {
        'net/bridge/bridge-nf-call-iptables': 1,
        'net/bridge/bridge-nf-call-ip6tables': 1,
      }),
      ...(around.tracking === 'inet' && { 'net/bridge/bridge-nf-call-arptables': 0 }),
    },
    cables: cables(network, name, around),
    links: [bridge(network), meta(network, identities), ...plugs(network, plan.routers), ...taps],
    // Who has set an address himself must be answered, too.
    routes: network.subnets
      .filter(({ cidr, dhcp }) => dhcp === null && familyOf(cidr) === 4)
      .map(({ cidr }) => `${cidr} dev ${BRIDGE} scope link`),
    neighbours: network.ports
      .filter(({ groups }) => groups !== null)
      .flatMap((port) => macsOf(port).map((mac) => ({ mac, device: tapName(port.id) }))),
    tunnel: hasTunnel(network) ? { device: TUNNEL, peers: network.peers } : null,
    rules: [
      bridgeRules(network, numberOf),
      groupRules(network, plan.groups, numberOf, around.tracking),
      networkNat(network, identityOf, service),
    ],
    noRules: [],
    dnsmasq: networkDnsmasq(network, around.resolvers),
  };
}

/** The device of a guest here. One that is held to its own address gets nothing that is for others. */
export function tap(network: NetworkPlan, port: NetworkPlan['ports'][number]): Link {
  return {
    name: tapName(port.id),
    origin: 'given',
    optional: true,
    mtu: network.mtu,
    master: BRIDGE,
    floods: port.groups === null,
    up: port.up,
    addresses: [],
  };
}

function bridge({ id, mtu, subnets }: NetworkPlan): Link {
  const servers = subnets.flatMap(({ cidr, dhcp }) => (dhcp ? [`${dhcp.server}/${prefixOf(cidr)}`] : []));
  return {
    name: BRIDGE,
    origin: 'bridge',
    mac: bridgeMac(id),
    mtu,
    up: true,
    addresses: [...servers, `${METADATA}/32`],
  };
}

function meta({ id, ports }: NetworkPlan, identities: Identities): Link {
  const own = `${identities.addressOf(networkHolder(id))}/${prefixOf(identities.range)}`;
  const ofPorts = ports.map((port) => `${identities.addressOf(portHolder(port.id))}/32`);
  return { name: META, origin: 'given', up: true, addresses: [own, ...ofPorts] };
}

/** Ends of routers and of the ways out. */
function plugs(network: NetworkPlan, routers: readonly RouterPlan[]): Link[] {
  const member = (name: string): Link => ({
    name,
    origin: 'given',
    mtu: network.mtu,
    master: BRIDGE,
    up: true,
    addresses: [],
  });
  return [
    ...routers
      .flatMap((router) => portsOf(router).filter(({ networkId }) => networkId === network.id))
      .map(({ portId }) => member(plugName(portId))),
    ...(hasTunnel(network) ? [member(TUNNEL)] : []),
    ...(network.external ? [member(UPLINK)] : []),
  ];
}

/** All ports of a router. */
export function portsOf({ interfaces, gateway }: RouterPlan): readonly { portId: string; networkId: string }[] {
  return [...interfaces, ...(gateway ? [gateway] : [])];
}

function cables(network: NetworkPlan, name: string, { names, underlay }: Surroundings): Cable[] {
  const local = underlay.address === null ? '' : ` local ${underlay.address}`;
  return [
    wire([name, META], [null, names.meta(network.id)]),
    ...(network.external ? [wire([name, UPLINK], [null, names.external(network.id)])] : []),
    ...(hasTunnel(network)
      ? [
          {
            ends: [[name, TUNNEL]] as const,
            make: `link add name ${TUNNEL} netns ${name} type vxlan id ${network.vni} dstport ${underlay.port}${local} learning`,
          },
        ]
      : []),
  ];
}

/** An external network's other hosts are reached by the way out. */
export function hasTunnel({ external, peers }: NetworkPlan): boolean {
  return !external && peers.length > 0;
}
