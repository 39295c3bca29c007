/** What is outside of the plane's namespaces: on the machine itself, or in the user namespace that stands for it. */
import type { HostNetwork } from '#contracts/host-network.ts';
import { prefixOf } from './addresses.ts';
import { hasTunnel, type Surroundings } from './network-space.ts';
import type { Forward } from './plane.ts';
import type { Space } from './space.ts';
import type { Link } from './texts/links.ts';
import { outsideRules } from './texts/outside-rules.ts';

export function outsideSpace({ networks }: HostNetwork, around: Surroundings, forwards: readonly Forward[]): Space {
  const { names, identities, externalBridge } = around;
  const external = networks.filter((network) => network.external);
  const tunnelled = networks.filter(hasTunnel);
  const device = (name: string, rest: Partial<Link>): Link => ({
    name,
    origin: 'given',
    up: true,
    addresses: [],
    ...rest,
  });
  return {
    name: null,
    what: 'the way out',
    settings: {
      ...(networks.length > 0 && { 'net/ipv4/ip_forward': 1 }),
      ...Object.fromEntries(
        external.flatMap(({ id }) =>
          forwards.length === 0 ? [] : [[`net/ipv4/conf/${names.external(id)}/route_localnet`, 1]],
        ),
      ),
      ...(external.some(({ subnets }) => subnets.some(({ cidr }) => cidr.includes(':'))) && {
        'net/ipv6/conf/all/forwarding': 1,
      }),
    },
    cables: [],
    links: [
      ...(networks.length === 0
        ? []
        : [
            device(names.metaBridge, {
              origin: 'bridge',
              addresses: [`${identities.service}/${prefixOf(identities.range)}`],
            }),
          ]),
      ...networks.map(({ id }) => device(names.meta(id), { master: names.metaBridge, isolated: true })),
      ...external.map(({ id, mtu, subnets }) =>
        device(names.external(id), {
          mtu,
          ...(externalBridge === null
            ? {
                addresses: subnets.flatMap(({ cidr, gateway }) =>
                  gateway === null ? [] : [`${gateway}/${prefixOf(cidr)}`],
                ),
              }
            : { master: externalBridge }),
        }),
      ),
    ],
    routes: [],
    neighbours: [],
    tunnel: null,
    rules:
      networks.length === 0
        ? []
        : [
            outsideRules({
              table: names.table,
              metaBridge: names.metaBridge,
              ways: names.anyExternal,
              tunnels: {
                port: around.underlay.port,
                vnis: tunnelled.map(({ vni }) => vni),
                peers: [...new Set(tunnelled.flatMap(({ peers }) => peers))],
              },
              range: identities.range,
              service: { address: identities.service, port: around.metadataPort },
              external:
                externalBridge === null ? external.flatMap(({ subnets }) => subnets.map(({ cidr }) => cidr)) : [],
              resolvers: around.resolvers,
              forwards,
            }),
          ],
    noRules: networks.length === 0 ? [{ family: 'inet', table: names.table }] : [],
    dnsmasq: null,
  };
}
