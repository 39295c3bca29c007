/**
 * The files of a dnsmasq. What is in `main` needs a new process, the others are read again on SIGHUP. Nothing is written by it: who has
 * which address is in `hosts`.
 */
import type { NetworkPlan, PortPlan, RouterPlan, SubnetPlan } from '#contracts/host-network.ts';
import { familyOf, hostOf, maskOf, prefixOf } from '../addresses.ts';
import { BRIDGE, routerName } from '../names.ts';
import { METADATA } from './bridge-rules.ts';

export interface DnsmasqConfig {
  readonly main: readonly string[];
  /** MAC and address of those that are answered. */
  readonly hosts: readonly string[];
  readonly options: readonly string[];
  readonly names: readonly string[];
}

type Dhcp = NonNullable<SubnetPlan['dhcp']>;
type Served = SubnetPlan & { readonly dhcp: Dhcp };

const LEASE_SECONDS = 86_400;
const HOSTNAME = /^[A-Za-z0-9]([A-Za-z0-9-]{0,62})(\.[A-Za-z0-9-]{1,63})*$/;
const ALWAYS = [
  'no-hosts',
  'no-resolv',
  'no-poll',
  'no-ping',
  'bind-interfaces',
  'except-interface=lo',
  'leasefile-ro',
  'log-facility=/dev/null',
];

/** DHCP and names for the guests of a network that are here; null where none of its subnets wants that. */
export function networkDnsmasq(network: NetworkPlan, resolvers: readonly string[]): DnsmasqConfig | null {
  const served = network.subnets.flatMap((subnet) => (subnet.dhcp ? [{ ...subnet, dhcp: subnet.dhcp }] : []));
  if (served.length === 0) return null;
  const domain = HOSTNAME.test(network.domain) ? network.domain : null;
  return {
    main: [
      ...ALWAYS,
      `interface=${BRIDGE}`,
      'dhcp-authoritative',
      'quiet-dhcp',
      'quiet-dhcp6',
      ...(domain === null ? [] : [`domain=${domain}`, `local=/${domain}/`]),
      ...resolvers.map((address) => `server=${address}`),
      ...served.flatMap((subnet) => range(subnet)),
    ],
    hosts: network.ports.flatMap((port) => hostLines(port, network, served)),
    options: served.flatMap((subnet) => options(subnet, network.mtu, domain)),
    names: network.names
      .filter(({ hostname }) => HOSTNAME.test(hostname))
      .flatMap(({ hostname, addresses }) =>
        addresses.map((address) =>
          [address, ...(domain === null ? [] : [`${hostname}.${domain}`]), hostname].join(' '),
        ),
      ),
  };
}

function tag({ id }: SubnetPlan): string {
  return `s${id.replaceAll(/[^A-Za-z0-9]/g, '')}`;
}

/** Only who is in `hosts` gets an address. */
function range(subnet: Served): string[] {
  const { cidr, dhcp } = subnet;
  const net = hostOf(cidr);
  if (familyOf(cidr) === 4)
    return [`dhcp-range=set:${tag(subnet)},${net},static,${maskOf(prefixOf(cidr))},${LEASE_SECONDS}`];
  if (dhcp.mode !== 'dhcpv6-stateful' && dhcp.mode !== 'dhcpv6-stateless') return [];
  return [`dhcp-range=set:${tag(subnet)},${net},static,${prefixOf(cidr)},${LEASE_SECONDS}`];
}

function hostLines(port: PortPlan, network: NetworkPlan, served: readonly Served[]): string[] {
  return port.addresses.flatMap(({ subnetId, address }) => {
    const subnet = served.find(({ id }) => id === subnetId);
    if (!subnet || range(subnet).length === 0) return [];
    const name = network.names.find(({ addresses }) => addresses.includes(address))?.hostname;
    const words = [port.mac, familyOf(address) === 6 ? `[${address}]` : address];
    return [[...words, ...(name !== undefined && HOSTNAME.test(name) ? [name] : [])].join(',')];
  });
}

function options(subnet: Served, mtu: number, domain: string | null): string[] {
  const { gateway, dhcp } = subnet;
  const line = (name: string, ...values: readonly string[]) => [`tag:${tag(subnet)}`, name, ...values].join(',');
  const servers = dhcp.dnsServers.length > 0 ? dhcp.dnsServers : [dhcp.server];
  if (familyOf(subnet.cidr) === 6) {
    return [
      line('option6:dns-server', ...servers.map((address) => `[${address}]`)),
      ...(domain === null ? [] : [line('option6:domain-search', domain)]),
    ];
  }
  // Who knows this option takes no notice of the router's own.
  const routes = [
    { destination: `${METADATA}/32`, nexthop: dhcp.server },
    ...dhcp.routes,
    ...(gateway === null ? [] : [{ destination: '0.0.0.0/0', nexthop: gateway }]),
  ];
  return [
    line('option:classless-static-route', ...routes.flatMap(({ destination, nexthop }) => [destination, nexthop])),
    line('option:router', ...(gateway === null ? [] : [gateway])),
    line('option:dns-server', ...servers),
    line('option:mtu', `${mtu}`),
  ];
}

/** What a router announces on its IPv6 networks; null where there is nothing. It gives out no address itself. */
export function routerDnsmasq(router: RouterPlan, networks: readonly NetworkPlan[]): DnsmasqConfig | null {
  const announced = router.interfaces.flatMap(({ portId, networkId, address }) => {
    const network = networks.find(({ id }) => id === networkId);
    const subnet = network?.subnets.find(({ cidr, gateway }) => familyOf(cidr) === 6 && gateway === address);
    if (!network || !subnet?.dhcp?.mode) return [];
    return [{ device: routerName(portId), mtu: network.mtu, subnet: { ...subnet, dhcp: subnet.dhcp } }];
  });
  if (announced.length === 0) return null;
  return {
    main: [
      ...ALWAYS,
      'port=0',
      'enable-ra',
      'quiet-ra',
      'quiet-dhcp6',
      ...announced.flatMap(({ device, mtu, subnet }) => [
        `interface=${device}`,
        `ra-param=${device},mtu:${mtu},60,1800`,
        `dhcp-range=set:${tag(subnet)},${hostOf(subnet.cidr)},${RA_MODES[subnet.dhcp.mode ?? 'slaac']},${prefixOf(subnet.cidr)},${LEASE_SECONDS}`,
      ]),
    ],
    hosts: [],
    options: announced.flatMap(({ subnet }) => options(subnet, 0, null)),
    names: [],
  };
}

/** Which flags the announcement has: addresses of their own; addresses by DHCP; other things by DHCP. */
const RA_MODES = { slaac: 'ra-only', 'dhcpv6-stateful': 'static', 'dhcpv6-stateless': 'ra-stateless' } as const;
