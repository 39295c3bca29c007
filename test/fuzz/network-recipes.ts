/** Valid requests for the network service. */
import { randomUUID } from 'node:crypto';
import type { Json } from './json.ts';
import type { Prng } from './prng.ts';
import type { Recipe } from './recipes.ts';
import type { Kind, World } from './world.ts';

const V = '/network/v2.0';
const word = () => `fuzz-${randomUUID()}`;
const maybe = <Value>(random: Prng, key: string, value: Value) => (random.chance(0.4) ? { [key]: value } : {});

const some =
  (kind: Kind): Recipe =>
  (world, random) => ({ who: 'demo', params: { id: world.some(kind, random) } });
const take =
  (kind: Kind): Recipe =>
  (world, random) => ({ who: 'demo', params: { id: world.take(kind, random) } });
const byDemo = (body: Json, params: Readonly<Record<string, string>> = {}) => ({ who: 'demo' as const, params, body });
const steady =
  (of: (world: World) => string): Recipe =>
  (world) => ({ params: { id: of(world) } });

/** A range that few others have. */
const range = (random: Prng) => `10.${random.below(200) + 1}.${random.below(256)}.0/24`;
/** Two are seldom the same. */
const rule = (random: Prng) => ({
  protocol: random.pick(['tcp', 'udp']),
  port_range_min: random.below(60_000) + 1,
  port_range_max: 65_000,
});

/** What has tags, and one that stays. */
const TAGGED: Readonly<Record<string, (world: World) => string>> = {
  networks: ({ networks }) => networks.network,
  subnets: ({ networks }) => networks.subnet,
  ports: ({ networks }) => networks.port,
  routers: ({ networks }) => networks.router,
  floatingips: ({ networks }) => networks.floatingIp,
  'security-groups': ({ networks }) => networks.securityGroup,
};

const tagRecipes = Object.entries(TAGGED).flatMap(([path, of]): [string, Recipe][] => {
  const one: Recipe = (world, random) => ({
    who: 'demo',
    params: { id: of(world), tag: random.pick(['one', 'two']) },
  });
  const tags = `${V}/${path}/:id/tags`;
  const id: Recipe = (world) => ({ who: 'demo', params: { id: of(world) } });
  return [
    [`GET ${tags}`, id],
    [`PUT ${tags}`, (world) => byDemo({ tags: ['one', 'two'] }, { id: of(world) })],
    [`DELETE ${tags}`, id],
    [`GET ${tags}/:tag`, one],
    [`PUT ${tags}/:tag`, one],
    [`DELETE ${tags}/:tag`, one],
  ];
});

export const NETWORK_RECIPES: Readonly<Record<string, Recipe>> = {
  ...Object.fromEntries(tagRecipes),
  [`GET ${V}/extensions/:alias`]: () => ({ params: { alias: 'router' } }),
  [`GET ${V}/agents/:id`]: steady(({ networks }) => networks.agent),
  [`GET ${V}/network-ip-availabilities/:id`]: steady(({ networks }) => networks.network),
  ...Object.fromEntries(
    ['', '/default', '/details', '/details.json'].map((part): [string, Recipe] => [
      `GET ${V}/quotas/:id${part}`,
      (world) => ({ who: 'demo', params: { id: world.projects.demo } }),
    ]),
  ),
  // Of a project that is not there: demo's must last.
  [`PUT ${V}/quotas/:id`]: (_, random) => ({
    params: { id: randomUUID() },
    body: { quota: { port: random.below(9), ...maybe(random, 'router', '7') } },
  }),
  [`GET ${V}/auto-allocated-topology/:id`]: (world) => ({ who: 'demo', params: { id: world.projects.demo } }),
  [`DELETE ${V}/auto-allocated-topology/:id`]: (world) => ({ who: 'demo', params: { id: world.projects.demo } }),

  [`GET ${V}/networks/:id`]: some('network'),
  [`DELETE ${V}/networks/:id`]: take('network'),
  [`POST ${V}/networks`]: (_, random) =>
    byDemo(
      random.chance(0.2)
        ? { networks: [{ name: word() }, { name: word() }] }
        : { network: { name: word(), ...maybe(random, 'mtu', 1400), ...maybe(random, 'port_security_enabled', true) } },
    ),
  [`PUT ${V}/networks/:id`]: (world, random) =>
    byDemo(
      { network: { name: word(), ...maybe(random, 'admin_state_up', false), ...maybe(random, 'dns_domain', 'a.') } },
      { id: world.some('network', random) },
    ),
  [`GET ${V}/subnets/:id`]: some('subnet'),
  [`DELETE ${V}/subnets/:id`]: take('subnet'),
  [`POST ${V}/subnets`]: (world, random) =>
    byDemo({
      subnet: {
        network_id: world.some('network', random),
        name: word(),
        ip_version: 4,
        cidr: range(random),
        ...maybe(random, 'dns_nameservers', ['9.9.9.9']),
        ...maybe(random, 'enable_dhcp', false),
        ...maybe(random, 'host_routes', [{ destination: '192.168.0.0/16', nexthop: '10.0.0.9' }]),
      },
    }),
  [`PUT ${V}/subnets/:id`]: (world, random) =>
    byDemo(
      {
        subnet: {
          name: word(),
          ...maybe(random, 'enable_dhcp', random.chance(0.5)),
          ...maybe(random, 'gateway_ip', null),
        },
      },
      { id: world.some('subnet', random) },
    ),
  [`GET ${V}/ports/:id`]: some('port'),
  [`DELETE ${V}/ports/:id`]: take('port'),
  [`POST ${V}/ports`]: (world, random) =>
    byDemo({
      port: {
        network_id: world.some('network', random),
        name: word(),
        ...maybe(random, 'security_groups', [world.networks.securityGroup]),
        ...maybe(random, 'allowed_address_pairs', [{ ip_address: '10.0.0.0/8' }]),
        ...maybe(random, 'fixed_ips', []),
      },
    }),
  [`PUT ${V}/ports/:id`]: (world, random) =>
    byDemo(
      { port: { name: word(), ...maybe(random, 'admin_state_up', false), ...maybe(random, 'device_id', 'mine') } },
      { id: world.some('port', random) },
    ),
  [`GET ${V}/routers/:id`]: some('router'),
  [`DELETE ${V}/routers/:id`]: take('router'),
  [`POST ${V}/routers`]: (world, random) =>
    byDemo({
      router: { name: word(), ...maybe(random, 'external_gateway_info', { network_id: world.networks.external }) },
    }),
  [`PUT ${V}/routers/:id`]: (world, random) =>
    byDemo(
      { router: { name: word(), ...maybe(random, 'external_gateway_info', null), ...maybe(random, 'routes', []) } },
      { id: world.some('router', random) },
    ),
  [`PUT ${V}/routers/:id/add_router_interface`]: (world, random) =>
    byDemo({ subnet_id: world.some('subnet', random) }, { id: world.some('router', random) }),
  [`PUT ${V}/routers/:id/remove_router_interface`]: (world) => {
    const [id = randomUUID(), subnet = randomUUID()] = (world.pools.interface.pop() ?? '').split('/').filter(Boolean);
    return byDemo({ subnet_id: subnet }, { id });
  },
  ...Object.fromEntries(
    ['add_extraroutes', 'remove_extraroutes'].map((action): [string, Recipe] => [
      `PUT ${V}/routers/:id/${action}`,
      (world, random) =>
        byDemo(
          { router: { routes: [{ destination: `10.${200 + random.below(9)}.0.0/16`, nexthop: '10.0.0.9' }] } },
          { id: world.networks.router },
        ),
    ]),
  ),
  [`GET ${V}/floatingips/:id`]: some('floatingIp'),
  [`DELETE ${V}/floatingips/:id`]: take('floatingIp'),
  [`POST ${V}/floatingips`]: (world, random) =>
    byDemo({
      floatingip: {
        floating_network_id: world.networks.external,
        ...maybe(random, 'description', 'words'),
      },
    }),
  [`PUT ${V}/floatingips/:id`]: (world, random) =>
    byDemo(
      { floatingip: random.pick([{ port_id: null }, { port_id: world.networks.port }, { description: 'words' }]) },
      { id: world.some('floatingIp', random) },
    ),
  [`GET ${V}/security-groups/:id`]: some('securityGroup'),
  [`DELETE ${V}/security-groups/:id`]: take('securityGroup'),
  [`POST ${V}/security-groups`]: () => byDemo({ security_group: { name: word() } }),
  [`PUT ${V}/security-groups/:id`]: (world, random) =>
    byDemo({ security_group: { name: word() } }, { id: world.some('securityGroup', random) }),
  [`GET ${V}/security-group-rules/:id`]: some('securityGroupRule'),
  [`DELETE ${V}/security-group-rules/:id`]: take('securityGroupRule'),
  [`POST ${V}/security-group-rules`]: (world, random) =>
    byDemo({
      security_group_rule: {
        security_group_id: world.networks.securityGroup,
        direction: 'ingress',
        ...rule(random),
        ...maybe(random, 'remote_ip_prefix', range(random)),
      },
    }),
};
