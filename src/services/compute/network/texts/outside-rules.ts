/**
 * The plane's rules outside of its namespaces, on the machine itself or in the user namespace: the way out for external networks, and walls
 * around the metadata service and around the tunnels of hosts: what comes by them is believed.
 */
import { familyOf } from '../addresses.ts';
import { chain, type Ruleset } from './ruleset.ts';

export interface OutsidePlan {
  readonly table: string;
  readonly metaBridge: string;
  /** Devices by which guests' external networks lead here, with an asterisk, and where hosts' tunnels end. */
  readonly ways: string;
  /** Of hosts: the numbers of the networks that come by them, and the addresses of the hosts that they come from. */
  readonly tunnels: { readonly port: number; readonly vnis: readonly number[]; readonly peers: readonly string[] };
  /** Of the ports' own addresses; see `Identities`. */
  readonly range: string;
  readonly service: { readonly address: string; readonly port: number };
  /** CIDRs of external networks that the host itself is the way out of. */
  readonly external: readonly string[];
  /** Where the networks' own name servers ask. */
  readonly resolvers: readonly string[];
  readonly forwards: readonly { readonly hostPort: number; readonly address: string; readonly port: number }[];
}

export function outsideRules(plan: OutsidePlan): Ruleset {
  const { metaBridge, range, service, tunnels } = plan;
  // By the way out it would come from one of our hosts, whom others believe.
  const noTunnels = `iifname "${plan.ways}" udp dport ${tunnels.port} drop`;
  const cidrs = (family: 4 | 6) => [...new Set(plan.external)].filter((cidr) => familyOf(cidr) === family);
  const resolvers = plan.resolvers.filter((address) => familyOf(address) === 4);
  const ask =
    resolvers.length === 0 ? [] : [`ip daddr { ${resolvers.join(', ')} } meta l4proto { 6, 17 } th dport 53 accept`];
  return {
    family: 'inet',
    table: plan.table,
    sets: [
      ...([4, 6] as const).map((family) => ({
        name: `external${family}`,
        kind: 'set' as const,
        type: `type ipv${family}_addr; flags interval; auto-merge;`,
        elements: cidrs(family),
      })),
      { name: 'vnis', kind: 'set', type: `typeof ${VNI};`, elements: tunnels.vnis.map(String) },
      ...([4, 6] as const).map((family) => ({
        name: `peers${family}`,
        kind: 'set' as const,
        type: `type ipv${family}_addr;`,
        elements: tunnels.peers.filter((peer) => familyOf(peer) === family),
      })),
      {
        name: 'forwards',
        kind: 'map',
        type: 'type inet_service : ipv4_addr . inet_service;',
        elements: plan.forwards.map(({ hostPort, address, port }) => `${hostPort} : ${address} . ${port}`),
      },
    ],
    chains: [
      ...chain('from_networks', [
        'ct state established ct direction reply accept',
        `ip saddr ${range} ip daddr ${service.address} tcp dport ${service.port} accept`,
        ...ask,
        'drop',
      ]),
      ...chain(
        'input',
        [
          `iifname "${metaBridge}" goto from_networks`,
          `iifname != "lo" ip daddr ${service.address} drop`,
          noTunnels,
          ...strangers(tunnels.port),
        ],
        'type filter hook input priority 0; policy accept;',
      ),
      ...chain(
        'forward',
        [
          `iifname "${metaBridge}" goto from_networks`,
          `oifname "${metaBridge}" ct state established ct direction reply accept`,
          `oifname "${metaBridge}" drop`,
          noTunnels,
        ],
        'type filter hook forward priority 0; policy accept;',
      ),
      ...chain(
        'output',
        ['ip daddr 127.0.0.1 dnat ip to tcp dport map @forwards'],
        'type nat hook output priority -100; policy accept;',
      ),
      ...chain(
        'postrouting',
        [
          `ip saddr ${range} ip daddr != ${range} masquerade`,
          'ip saddr @external4 ip daddr != @external4 masquerade',
          'ip6 saddr @external6 ip6 daddr != @external6 masquerade',
          'ip saddr 127.0.0.1 oifname != "lo" masquerade',
        ],
        'type nat hook postrouting priority 100; policy accept;',
      ),
    ],
  };
}

/** Of a datagram: the number of the network, in the header that follows UDP's. Source: RFC 7348, 5. */
const VNI = '@th,96,24';

/** Nobody else speaks in our networks; those of other clouds on the machine are none of ours. */
function strangers(port: number): string[] {
  return [
    ['ip', 'peers4'],
    ['ip6', 'peers6'],
  ].map(([family, peers]) => `udp dport ${port} ${VNI} @vnis ${family} saddr != @${peers} drop`);
}
