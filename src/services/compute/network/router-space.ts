/** What a router's namespace has. */
import type { NetworkPlan, RouterPlan } from '#contracts/host-network.ts';
import { familyOf } from './addresses.ts';
import { type Names, plugName, routerName } from './names.ts';
import { portsOf } from './network-space.ts';
import { type Space, wire } from './space.ts';
import { routerDnsmasq } from './texts/dnsmasq-config.ts';
import type { Link } from './texts/links.ts';
import { routerRules } from './texts/router-rules.ts';

/** Networks that are not in the plan are left out: a router's networks are where it is, or come with the next plan. */
export function routerSpace(router: RouterPlan, networks: readonly NetworkPlan[], names: Names): Space {
  const name = names.router(router.id);
  const { gateway } = router;
  const mtus = new Map(networks.map(({ id, mtu }) => [id, mtu]));
  const port = (portId: string, networkId: string, mac: string, addresses: readonly string[]): Link => ({
    name: routerName(portId),
    origin: 'given',
    mac,
    mtu: mtus.get(networkId) ?? 1500,
    up: true,
    addresses,
  });
  const floating = router.floatingIps.map(({ address }) => `${address}/32`);
  const defaults = (gateway?.nexthops ?? []).map(
    (nexthop) => `${familyOf(nexthop) === 6 ? '::/0' : '0.0.0.0/0'} via ${nexthop}`,
  );
  return {
    name,
    what: `router ${router.id}`,
    settings: {
      'net/ipv4/ip_forward': 1,
      'net/ipv6/conf/all/forwarding': 1,
      'net/ipv6/conf/default/accept_ra': 0,
      'net/ipv4/conf/all/rp_filter': 0,
      'net/ipv4/conf/default/rp_filter': 0,
      'net/ipv4/conf/all/send_redirects': 0,
      'net/ipv4/conf/default/send_redirects': 0,
      'net/ipv4/conf/all/promote_secondaries': 1,
      // It speaks for the addresses of the network that is asked, and tells neighbours at once where they are now.
      'net/ipv4/conf/all/arp_ignore': 1,
      'net/ipv4/conf/all/arp_announce': 2,
      'net/ipv4/conf/all/arp_notify': 1,
      'net/ipv4/conf/default/arp_notify': 1,
    },
    cables: portsOf(router)
      .filter(({ networkId }) => mtus.has(networkId))
      .map(({ portId, networkId }) => wire([name, routerName(portId)], [names.network(networkId), plugName(portId)])),
    links: [
      ...router.interfaces
        .filter(({ networkId }) => mtus.has(networkId))
        .map(({ portId, networkId, mac, address, prefix }) => port(portId, networkId, mac, [`${address}/${prefix}`])),
      ...(gateway && mtus.has(gateway.networkId)
        ? [
            port(gateway.portId, gateway.networkId, gateway.mac, [
              ...gateway.addresses.map(({ address, prefix }) => `${address}/${prefix}`),
              ...floating,
            ]),
          ]
        : []),
    ],
    routes: [...defaults, ...router.routes.map(({ destination, nexthop }) => `${destination} via ${nexthop}`)],
    neighbours: [],
    tunnel: null,
    rules: [routerRules(router)],
    noRules: [],
    dnsmasq: routerDnsmasq(router, networks),
  };
}
