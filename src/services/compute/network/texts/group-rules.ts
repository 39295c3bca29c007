/**
 * Security groups: what may leave a port and what may come to one.
 *
 * Every frame in the direction in which its connection was begun is held against the rules as they are now; what answers to an admitted
 * one passes. So a rule that goes ends the connections that it admitted, without anything having to be forgotten. A change of a
 * remote group's members is a change of sets.
 *
 * A guest that came while it executed has connections whose beginning was seen elsewhere. Of those that it began itself, the first frame
 * seen here may come from the other side: for a minute (`welcome`) one that no rule admits is taken for an answer, and the connection is
 * marked as seen the wrong way round.
 */
import type { GroupPlan, NetworkPlan, RulePlan } from '#contracts/host-network.ts';
import { familyOf } from '../addresses.ts';
import { short } from '../names.ts';
import { FROM, fromMark, TO, toMark } from './port-marks.ts';
import { chain, type NftSet, type Ruleset } from './ruleset.ts';

/** `inet`: bridged packets are handed to the rules of layer 3 (br_netfilter). `bridge`: connections are tracked on bridges. */
export type Tracking = 'inet' | 'bridge';

/** Of connections that were begun in the direction in which answers seem to go. */
const REVERSED = '0x1';
/** In the middle of a connection: its first frame would have SYN alone. */
const MIDWAY = 'ct state new meta l4proto tcp tcp flags & (fin | syn | rst | ack) == ack';

export const GROUPS_TABLE = 'mn-groups';
const FORWARD = 'type filter hook forward priority 0; policy accept;';

/** Names of Neutron's whose numbers it does not give. */
const PROTOCOLS: Readonly<Record<string, number>> = {
  ah: 51,
  dccp: 33,
  egp: 8,
  esp: 50,
  gre: 47,
  icmp: 1,
  icmpv6: 58,
  igmp: 2,
  ipip: 4,
  'ipv6-encap': 41,
  'ipv6-frag': 44,
  'ipv6-icmp': 58,
  'ipv6-nonxt': 59,
  'ipv6-opts': 60,
  'ipv6-route': 43,
  ospf: 89,
  pgm: 113,
  rsvp: 46,
  sctp: 132,
  tcp: 6,
  udp: 17,
  udplite: 136,
  vrrp: 112,
};
const WITH_PORTS = [6, 17, 33, 132, 136];

export function groupRules(
  network: NetworkPlan,
  groups: readonly GroupPlan[],
  numberOf: (portId: string) => number,
  tracking: Tracking,
): Ruleset {
  const ports = network.ports.flatMap((port) => (port.groups ? [{ ...port, groups: port.groups }] : []));
  const usedIds = new Set(ports.flatMap((port) => port.groups));
  const used = groups.filter(({ id }) => usedIds.has(id));
  const remoteIds = new Set(used.flatMap(({ rules }) => rules.flatMap((rule) => rule.remoteGroupId ?? [])));
  // A group that nobody is in, or that is not told of, has no members.
  const remotes = [...remoteIds].map((id) => groups.find((group) => group.id === id) ?? { id, rules: [], members: [] });
  const perPort = ports.map((port) => ({
    number: numberOf(port.id),
    known: port.groups.filter((id) => usedIds.has(id)),
  }));
  const has = new Set(used.map(({ id }) => id));
  return {
    family: tracking,
    table: GROUPS_TABLE,
    sets: [
      ...remotes.flatMap(memberSets),
      { name: 'arrived', kind: 'set', type: 'type mark; flags timeout;', elements: [] },
      {
        name: 'leaving',
        kind: 'map',
        type: 'type mark : verdict;',
        elements: perPort.map(({ number }) => `${fromMark(number)} : jump out_${number}`),
      },
      {
        name: 'coming',
        kind: 'map',
        type: 'type mark : verdict;',
        elements: perPort.map(({ number }) => `${toMark(number)} : jump in_${number}`),
      },
    ],
    chains: [
      ...chain('late', [`meta mark & ${TO} @arrived ${MIDWAY} ct mark set ${REVERSED} accept`, 'drop']),
      ...chain('to', [`meta mark & ${TO} vmap @coming`, 'accept']),
      ...used.flatMap(({ id, rules }) => [
        ...chain(`out_${short(id)}`, admitted(rules, 'egress', 'goto to')),
        ...chain(`in_${short(id)}`, admitted(rules, 'ingress', 'accept')),
      ]),
      ...perPort.flatMap(({ number, known }) => {
        const jumps = (way: 'in' | 'out') => known.filter((id) => has.has(id)).map((id) => `jump ${way}_${short(id)}`);
        return [
          ...chain(`out_${number}`, [...jumps('out'), 'drop']),
          ...chain(`in_${number}`, [...jumps('in'), 'goto late']),
        ];
      }),
      ...chain(
        'forward',
        [
          // How neighbours and routers are found; who may say so is the bridge's affair.
          'icmpv6 type { mld-listener-query, mld-listener-report, mld-listener-done, nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, mld2-listener-report } accept',
          'ct state invalid drop',
          // Never a beginning: that has to be admitted like every other.
          `ct mark ${REVERSED} ct direction original tcp flags & (syn | ack) != syn accept`,
          `ct mark != ${REVERSED} ct state established ct direction reply accept`,
          'ct state related accept',
          `meta mark & ${FROM} vmap @leaving`,
          'goto to',
        ],
        FORWARD,
      ),
    ],
  };
}

/** For `nft`: for a minute, what comes to this port on connections that nobody has seen begin here is taken for answers. */
export function welcome(number: number, tracking: Tracking): string {
  return `add element ${tracking} ${GROUPS_TABLE} arrived { ${toMark(number)} timeout 60s }\n`;
}

function memberSets({ id, members }: GroupPlan): NftSet[] {
  return ([4, 6] as const).map((family) => ({
    name: setName(id, family),
    kind: 'set',
    type: `type ipv${family}_addr;`,
    elements: [...new Set(members.filter((member) => familyOf(member) === family))].toSorted(),
  }));
}

function setName(id: string, family: 4 | 6): string {
  return `m${family}_${short(id)}`;
}

function admitted(rules: readonly RulePlan[], direction: RulePlan['direction'], verdict: string): string[] {
  const matches = rules.filter((rule) => rule.direction === direction).map(match);
  return [...new Set(matches)].map((words) => `${words} ${verdict}`);
}

/** What a rule matches, in the words of nft. */
function match(rule: RulePlan): string {
  const family = rule.ethertype === 'IPv4' ? 4 : 6;
  const ip = family === 4 ? 'ip' : 'ip6';
  const far = `${ip} ${rule.direction === 'ingress' ? 'saddr' : 'daddr'}`;
  const words = [`meta protocol ${ip}`];
  if (rule.remoteGroupId !== null) words.push(`${far} @${setName(rule.remoteGroupId, family)}`);
  else if (rule.remoteCidr !== null) words.push(`${far} ${rule.remoteCidr}`);
  return [...words, ...protocolWords(rule, family)].join(' ');
}

function protocolWords({ protocol, min, max }: RulePlan, family: 4 | 6): string[] {
  const named = protocol === null ? 0 : (PROTOCOLS[protocol] ?? Number(protocol));
  // Both names of ICMP mean that of the rule's family.
  const number = family === 6 && named === 1 ? 58 : named;
  // Neutron's 0 is any, as is none.
  if (number === 0) return [];
  if (!Number.isInteger(number) || number < 0 || number > 255) throw new RangeError(`protocol ${protocol} is unknown`);
  const words = [`meta l4proto ${number}`];
  if (WITH_PORTS.includes(number) && (min !== null || max !== null)) words.push(`th dport ${min ?? 0}-${max ?? 65535}`);
  const icmp = number === 1 ? 'icmp' : number === 58 ? 'icmpv6' : null;
  if (icmp !== null && min !== null) words.push(`${icmp} type ${min}`);
  if (icmp !== null && max !== null) words.push(`${icmp} code ${max}`);
  return words;
}
