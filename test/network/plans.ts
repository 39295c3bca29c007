/** Plans for tests, said shortly. */
import type { GroupPlan, HostNetwork, NetworkPlan, PortPlan, RouterPlan, RulePlan } from '#contracts/host-network.ts';

/** The same id for the same word, each time. */
export function id(word: string): string {
  const hex = Buffer.from(word).toString('hex').padEnd(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4000-8000-${hex.slice(0, 12).padEnd(12, '0')}`;
}

let macs = 0;

export function mac(): string {
  macs++;
  return `fa:16:3e:00:${(macs >> 8).toString(16).padStart(2, '0')}:${(macs & 255).toString(16).padStart(2, '0')}`;
}

export function port(word: string, address: string | readonly string[], changes: Partial<PortPlan> = {}): PortPlan {
  const addresses = typeof address === 'string' ? [address] : address;
  return {
    id: id(word),
    serverId: id(`s${word}`),
    mac: mac(),
    addresses: addresses.map((each) => ({ subnetId: id(each.includes(':') ? 'v6' : 'v4'), address: each })),
    up: true,
    groups: [id('open')],
    allowedPairs: [],
    ...changes,
  };
}

/** `net`: three numbers of a /24. */
export function network(
  word: string,
  net: string,
  ports: readonly PortPlan[],
  changes: Partial<NetworkPlan> = {},
): NetworkPlan {
  return {
    id: id(word),
    vni: 100 + (word.charCodeAt(word.length - 1) % 100),
    mtu: 1450,
    domain: 'cloud.test',
    external: false,
    subnets: [
      {
        id: id('v4'),
        cidr: `${net}.0/24`,
        gateway: `${net}.1`,
        dhcp: { server: `${net}.2`, dnsServers: [], routes: [], mode: null },
      },
    ],
    ports: [...ports],
    names: [],
    peers: [],
    ...changes,
  };
}

/** 203.0.113.0/24, whose gateway is the host. */
export function external(net = '203.0.113'): NetworkPlan {
  return network('ext', net, [], {
    external: true,
    mtu: 1500,
    subnets: [{ id: id('x4'), cidr: `${net}.0/24`, gateway: `${net}.1`, dhcp: null }],
  });
}

export function rule(changes: Partial<RulePlan> = {}): RulePlan {
  return {
    direction: 'ingress',
    ethertype: 'IPv4',
    protocol: null,
    min: null,
    max: null,
    remoteCidr: null,
    remoteGroupId: null,
    ...changes,
  };
}

export const outwards: readonly RulePlan[] = [
  rule({ direction: 'egress' }),
  rule({ direction: 'egress', ethertype: 'IPv6' }),
];
export const everything: GroupPlan = {
  id: id('open'),
  rules: [...outwards, rule(), rule({ ethertype: 'IPv6' })],
  members: [],
};

export function group(word: string, rules: readonly RulePlan[], members: readonly string[] = []): GroupPlan {
  return { id: id(word), rules: [...outwards, ...rules], members: [...members] };
}

/** At `.1` of each network, with a gateway at `.10` of the external one. */
export function router(
  word: string,
  nets: readonly (readonly [networkWord: string, net: string])[],
  changes: Partial<RouterPlan> = {},
): RouterPlan {
  return {
    id: id(word),
    interfaces: nets.map(([each, net]) => ({
      portId: id(`${word}${each}`),
      networkId: id(each),
      mac: mac(),
      address: `${net}.1`,
      prefix: 24,
    })),
    gateway: null,
    floatingIps: [],
    routes: [],
    ...changes,
  };
}

export function gateway(net = '203.0.113', last = 10): NonNullable<RouterPlan['gateway']> {
  return {
    portId: id('gwport'),
    networkId: id('ext'),
    mac: mac(),
    addresses: [{ address: `${net}.${last}`, prefix: 24 }],
    nexthops: [`${net}.1`],
    snat: true,
  };
}

export function plan(networks: readonly NetworkPlan[], changes: Partial<HostNetwork> = {}): HostNetwork {
  return { networks: [...networks], groups: [everything], routers: [], ...changes };
}
