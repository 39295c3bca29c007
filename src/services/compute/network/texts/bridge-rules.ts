/**
 * What a network's bridge lets through: from a tap only what its port may say of itself (MAC, ARP, IP), from and to the tunnel nothing
 * that each host answers by itself. Marks frames for the rules behind (`port-marks.ts`).
 */
import type { NetworkPlan, PortPlan } from '#contracts/host-network.ts';
import { contains, familyOf, hexOf, linkLocal } from '../addresses.ts';
import { BRIDGE, macOf, TABLE, TUNNEL, tapName } from '../names.ts';
import { fromMark, toMark } from './port-marks.ts';
import { chain, type NftSet, type Ruleset } from './ruleset.ts';

export const METADATA = '169.254.169.254';

/** Before the rules of layer 3 see the frame. */
const EARLY = 'type filter hook prerouting priority -300; policy accept;';
const FORWARD = 'type filter hook forward priority -200; policy accept;';
const LATE = 'type filter hook postrouting priority -200; policy accept;';

/** MAC of the host's own end of a network, the same on every host, so that a guest that moves finds it again at once. */
export function bridgeMac(networkId: string): string {
  return macOf(`${BRIDGE} ${networkId}`);
}

/** `numberOf`: a port's number by its id. */
export function bridgeRules(network: NetworkPlan, numberOf: (portId: string) => number): Ruleset {
  const mac = bridgeMac(network.id);
  const leaving = network.ports.map(({ id }) => ({
    tap: tapName(id),
    name: `to_${tapName(id)}`,
    number: numberOf(id),
  }));
  return {
    family: 'bridge',
    table: TABLE,
    sets: [
      ...portSets(network.ports, numberOf),
      helperSet(network),
      {
        name: 'leaving',
        kind: 'map',
        type: 'type ifname : verdict;',
        elements: leaving.map(({ tap, name }) => `"${tap}" : jump ${name}`),
      },
    ],
    chains: [
      ...leaving.flatMap(({ name, number }) => chain(name, [`meta mark set meta mark or ${toMark(number)}`])),
      ...chain('guest', fromGuest(mac)),
      ...chain('tunnel', [
        // What this host's own end says or hears is for this host, and the other hosts have one like it.
        `ether saddr ${mac} drop`,
        `ether daddr ${mac} drop`,
        'arp saddr ip @helpers drop',
        'arp daddr ip @helpers drop',
        'udp dport { 67, 68, 546, 547 } drop',
      ]),
      ...chain(
        'prerouting',
        [
          'meta mark set 0',
          `iifname "${TUNNEL}" jump tunnel`,
          'iifname @taps jump guest',
          // The namespace passes nothing on between subnets: that is what routers are for.
          `ether daddr ${mac} ether type ip ip daddr != @helpers drop`,
        ],
        EARLY,
      ),
      ...chain('forward', ['oifname vmap @leaving'], FORWARD),
      ...chain('postrouting', [`oifname "${TUNNEL}" jump tunnel`], LATE),
    ],
  };
}

function fromGuest(mac: string): string[] {
  return [
    'meta mark set iifname map @taps_mark',
    // Whatever the guest's way there is, the service is here.
    `ip daddr ${METADATA} ether daddr set ${mac} meta pkttype set host`,
    'meta mark @open return',
    'ether type { 0x8100, 0x88a8 } drop',
    'meta mark . ether saddr != @macs drop',
    'ether type arp meta mark . arp saddr ether != @macs drop',
    'ether type arp arp saddr ip 0.0.0.0 return',
    'ether type arp meta mark . arp saddr ether . arp saddr ip @senders4 return',
    // By this QEMU says where a guest is that has moved.
    'ether type 0x8035 return',
    'ether type ip ip saddr 0.0.0.0 udp sport 68 udp dport 67 return',
    'ether type ip udp sport 67 udp dport 68 drop',
    'ether type ip meta mark . ether saddr . ip saddr @senders4 return',
    'icmpv6 type { nd-router-advert, nd-redirect } drop',
    'ether type ip6 udp sport 547 udp dport 546 drop',
    'ether type ip6 ip6 saddr :: icmpv6 type { nd-router-solicit, nd-neighbor-solicit, mld2-listener-report } return',
    // Bytes 8 to 23 of an advertisement are the address that it is about.
    'icmpv6 type nd-neighbor-advert meta mark . @th,64,128 != @owned6 drop',
    'ether type ip6 meta mark . ether saddr . ip6 saddr @senders6 return',
    'drop',
  ];
}

/** `taps` and `taps_mark` say the same: a map cannot be asked whether it has something. */
function portSets(ports: readonly PortPlan[], numberOf: (portId: string) => number): NftSet[] {
  const mark = (port: PortPlan) => fromMark(numberOf(port.id));
  const senders = ports.flatMap((port) =>
    mayBe(port).map(({ mac, address }) => ({ mark: mark(port), mac, address, family: familyOf(address) })),
  );
  const of = (family: 4 | 6) =>
    unique(
      senders.filter((each) => each.family === family).map(({ mark, mac, address }) => `${mark} . ${mac} . ${address}`),
    );
  const owned = ports.flatMap((port) =>
    mayBe(port)
      .filter(({ address }) => familyOf(address) === 6 && !address.includes('/'))
      .map(({ address }) => `${mark(port)} . ${hexOf(address)}`),
  );
  const wide = (family: 4 | 6) => `type mark . ether_addr . ipv${family}_addr; flags interval;`;
  const taps = ports.map((port) => `"${tapName(port.id)}"`);
  const open = ports.filter(({ groups }) => groups === null);
  const macs = ports.flatMap((port) => macsOf(port).map((mac) => `${mark(port)} . ${mac}`));
  return [
    { name: 'taps', kind: 'set', type: 'type ifname;', elements: taps },
    {
      name: 'taps_mark',
      kind: 'map',
      type: 'type ifname : mark;',
      elements: ports.map((port) => `"${tapName(port.id)}" : ${mark(port)}`),
    },
    { name: 'open', kind: 'set', type: 'type mark;', elements: open.map(mark) },
    { name: 'macs', kind: 'set', type: 'type mark . ether_addr;', elements: unique(macs) },
    { name: 'senders4', kind: 'set', type: wide(4), elements: of(4) },
    { name: 'senders6', kind: 'set', type: wide(6), elements: of(6) },
    { name: 'owned6', kind: 'set', type: 'typeof meta mark . @th,64,128;', elements: unique(owned) },
  ];
}

/** Addresses at which this host answers in place of all others. */
function helperSet({ subnets }: NetworkPlan): NftSet {
  const servers = subnets.flatMap(({ dhcp }) => (dhcp && familyOf(dhcp.server) === 4 ? [dhcp.server] : []));
  return {
    name: 'helpers',
    kind: 'set',
    type: 'type ipv4_addr;',
    elements: unique([METADATA, '255.255.255.255', ...servers]),
  };
}

/** What a port may say it is; nothing twice, and nothing that lies within another, for a set of ranges takes neither. */
function mayBe(port: PortPlan): { mac: string; address: string }[] {
  const all = [
    ...port.addresses.map(({ address }) => ({ mac: port.mac, address })),
    ...macsOf(port).map((mac) => ({ mac, address: linkLocal(mac) })),
    ...port.allowedPairs.map(({ mac, cidr }) => ({ mac, address: withoutHostPrefix(cidr) })),
  ];
  return all.filter((one, index) =>
    all.every(
      (other, at) =>
        at === index ||
        other.mac !== one.mac ||
        !contains(other.address, one.address) ||
        (contains(one.address, other.address) && index < at),
    ),
  );
}

/** MACs that a port may send from. */
export function macsOf({ mac, allowedPairs }: PortPlan): string[] {
  return unique([mac, ...allowedPairs.map((pair) => pair.mac)]);
}

function withoutHostPrefix(cidr: string): string {
  return cidr.replace(/^([0-9.]+)\/32$|^([0-9a-f:.]+)\/128$/, '$1$2');
}

function unique(texts: readonly string[]): string[] {
  return [...new Set(texts)];
}
