/**
 * Translation in a router's namespace: floating IPs both ways, also from within, and the way out for all others. A connection whose floating
 * IP is given to somebody else, or to nobody, ends.
 */
import type { RouterPlan } from '#contracts/host-network.ts';
import { familyOf } from '../addresses.ts';
import { routerName, TABLE } from '../names.ts';
import { chain, type NftSet, type Ruleset } from './ruleset.ts';

export function routerRules(router: RouterPlan): Ruleset {
  const floating = router.floatingIps;
  const map = (name: string, pairs: readonly (readonly [string, string])[]): NftSet => ({
    name,
    kind: 'map',
    type: 'type ipv4_addr : ipv4_addr;',
    elements: pairs.map(([from, to]) => `${from} : ${to}`),
  });
  return {
    family: 'inet',
    table: TABLE,
    sets: [
      map(
        'inwards',
        floating.map(({ address, fixed }) => [address, fixed] as const),
      ),
      map(
        'outwards',
        floating.map(({ address, fixed }) => [fixed, address] as const),
      ),
      {
        name: 'pairs',
        kind: 'set',
        type: 'type ipv4_addr . ipv4_addr;',
        elements: floating.map(({ address, fixed }) => `${address} . ${fixed}`),
      },
    ],
    chains: [
      ...chain(
        'prerouting',
        ['dnat ip to ip daddr map @inwards'],
        'type nat hook prerouting priority -100; policy accept;',
      ),
      ...chain('postrouting', outwards(router), 'type nat hook postrouting priority 100; policy accept;'),
      ...chain('forward', endOfPairs(router), 'type filter hook forward priority 0; policy accept;'),
      ...chain(
        'input',
        // Only for the helper that announces prefixes, which is also asked for addresses; those are another's affair.
        ['udp dport { 67, 547 } drop'],
        'type filter hook input priority 0; policy accept;',
      ),
    ],
  };
}

function outwards({ gateway }: RouterPlan): string[] {
  if (!gateway) return [];
  const way = routerName(gateway.portId);
  const own = ownAddress(gateway);
  return [
    // Between the router's own networks everybody keeps his address …
    `iifname != "${way}" oifname != "${way}" ct status & dnat == 0 accept`,
    'snat ip to ip saddr map @outwards',
    ...(own === undefined
      ? []
      : [
          ...(gateway.snat ? [`oifname "${way}" ip saddr != ${own} snat ip to ${own}`] : []),
          // … but who asks for a neighbour's floating IP must get the answer from there.
          `iifname != "${way}" ct status dnat snat ip to ${own}`,
        ]),
  ];
}

function endOfPairs({ gateway }: RouterPlan): string[] {
  const own = gateway && ownAddress(gateway);
  const other = own === null || own === undefined ? '' : ` ct reply ip daddr != ${own}`;
  return [
    'ct status dnat ct original ip daddr . ct reply ip saddr != @pairs drop',
    `ct status snat ct reply ip daddr . ct original ip saddr != @pairs${other} drop`,
    ...(own === null || own === undefined || gateway?.snat
      ? []
      : [`ct status snat ct status & dnat == 0 ct reply ip daddr ${own} drop`]),
  ];
}

function ownAddress({ addresses }: NonNullable<RouterPlan['gateway']>): string | undefined {
  return addresses.find(({ address }) => familyOf(address) === 4)?.address;
}
