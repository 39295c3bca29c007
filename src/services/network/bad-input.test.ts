/** Whatever a client sends, it is told what is wrong with it; nothing of it is our defect. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type NetworkHarness, networkHarness, PROJECTS } from './network-harness.ts';

const RUNS = 60;

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Values on which code stumbles. */
const odd = fc.oneof(
  fc.constantFrom<Json>(
    null,
    true,
    0,
    -1,
    1.5,
    2 ** 31,
    2 ** 53,
    1e300,
    '',
    ' ',
    '0',
    '-1',
    'None',
    "'; drop table ports; --",
    '\u0000',
    '\ud800',
    'x'.repeat(300),
    '10.0.0.0/24',
    '10.0.0.5',
    '0.0.0.0',
    '255.255.255.255',
    '::',
    '::/0',
    'ff02::1',
    'fa:16:3e:00:00:01',
    [],
    {},
    [[]],
    [null],
  ),
  fc.jsonValue() as fc.Arbitrary<Json>,
);

interface Valid {
  readonly method: 'POST' | 'PUT';
  readonly path: string;
  readonly body: Readonly<Record<string, Json>>;
}

async function validRequests(cloud: NetworkHarness): Promise<Valid[]> {
  const out = await cloud.make('admin', 'network', { 'router:external': true, is_default: true });
  const outside = { network_id: out.id, cidr: '172.24.4.0/24', ip_version: 4 };
  await cloud.make('admin', 'subnet', outside);
  const net = await cloud.make('demo', 'network');
  const subnet = await cloud.make('demo', 'subnet', { network_id: net.id, cidr: '10.0.0.0/24', ip_version: 4 });
  const port = await cloud.make('demo', 'port', { network_id: net.id });
  const router = await cloud.make('demo', 'router', { external_gateway_info: { network_id: out.id } });
  const group = await cloud.make('demo', 'security_group', { name: 'g' });
  const fip = await cloud.make('demo', 'floatingip', { floating_network_id: out.id });
  const route = { destination: '10.9.0.0/24', nexthop: '10.0.0.9' };
  const shared = { name: 'n', description: 'd', admin_state_up: true };
  const network = {
    ...shared,
    shared: false,
    'router:external': false,
    is_default: false,
    mtu: 1400,
    port_security_enabled: true,
    dns_domain: 'example.',
  };
  const values = {
    name: 'n',
    gateway_ip: '10.0.0.1',
    allocation_pools: [{ start: '10.0.0.2', end: '10.0.0.9' }],
    dns_nameservers: ['9.9.9.9'],
    host_routes: [route],
    enable_dhcp: true,
  };
  const portValues = {
    ...shared,
    device_id: 'd',
    device_owner: 'own',
    mac_address: 'fa:16:3e:00:00:09',
    fixed_ips: [{ subnet_id: subnet.id, ip_address: '10.0.0.99' }],
    security_groups: [group.id],
    port_security_enabled: true,
    allowed_address_pairs: [{ ip_address: '10.0.0.0/24', mac_address: 'fa:16:3e:00:00:08' }],
    dns_name: 'web',
    'binding:host_id': 'h',
    'binding:profile': { a: [1] },
  };
  const gateway = { network_id: out.id, enable_snat: true, external_fixed_ips: [{ ip_address: '172.24.4.99' }] };
  return [
    { method: 'POST', path: '/networks', body: { network: { ...network, 'provider:segmentation_id': 9 } } },
    { method: 'PUT', path: `/networks/${net.id}`, body: { network } },
    { method: 'POST', path: '/subnets', body: { subnet: { ...values, network_id: net.id, cidr: '10.0.0.0/24' } } },
    { method: 'PUT', path: `/subnets/${subnet.id}`, body: { subnet: values } },
    {
      method: 'POST',
      path: '/ports',
      body: { port: { ...portValues, network_id: net.id, project_id: PROJECTS.demo } },
    },
    { method: 'PUT', path: `/ports/${port.id}`, body: { port: portValues } },
    { method: 'POST', path: '/routers', body: { router: { ...shared, external_gateway_info: gateway } } },
    {
      method: 'PUT',
      path: `/routers/${router.id}`,
      body: { router: { external_gateway_info: gateway, routes: [route] } },
    },
    { method: 'PUT', path: `/routers/${router.id}/add_router_interface`, body: { subnet_id: subnet.id } },
    { method: 'PUT', path: `/routers/${router.id}/remove_router_interface`, body: { subnet_id: subnet.id } },
    { method: 'PUT', path: `/routers/${router.id}/add_extraroutes`, body: { router: { routes: [route] } } },
    {
      method: 'POST',
      path: '/floatingips',
      body: { floatingip: { floating_network_id: out.id, port_id: port.id, fixed_ip_address: '10.0.0.9' } },
    },
    { method: 'PUT', path: `/floatingips/${fip.id}`, body: { floatingip: { port_id: port.id, description: 'd' } } },
    { method: 'POST', path: '/security-groups', body: { security_group: { name: 'n', stateful: true } } },
    { method: 'PUT', path: `/security-groups/${group.id}`, body: { security_group: { name: 'n', stateful: true } } },
    {
      method: 'POST',
      path: '/security-group-rules',
      body: {
        security_group_rule: {
          security_group_id: group.id,
          direction: 'ingress',
          ethertype: 'IPv4',
          protocol: 'tcp',
          port_range_min: 1,
          port_range_max: 2,
          remote_ip_prefix: '10.0.0.0/8',
        },
      },
    },
    { method: 'PUT', path: `/networks/${net.id}/tags`, body: { tags: ['a'] } },
    { method: 'PUT', path: `/quotas/${PROJECTS.other}`, body: { quota: { port: 5 } } },
  ];
}

/** The places of a value, as paths. */
function places(value: Json): (string | number)[][] {
  if (value === null || typeof value !== 'object') return [[]];
  const inside = Object.entries(value).flatMap(([key, each]) =>
    places(each as Json).map((path) => [Array.isArray(value) ? Number(key) : key, ...path]),
  );
  return [[], ...inside];
}

function replaced(value: Json, [key, ...rest]: readonly (string | number)[], by: Json): Json {
  if (key === undefined) return by;
  const copy = structuredClone(value) as Record<string | number, Json>;
  copy[key] = replaced(copy[key] as Json, rest, by);
  return copy as Json;
}

test('a value of another kind anywhere in a body is never our defect', { timeout: 120_000 }, async () => {
  await using cloud = await networkHarness();
  for (const { method, path, body } of await validRequests(cloud)) {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...places(body)),
        odd,
        fc.constantFrom('admin', 'demo'),
        async (place, value, who) => {
          const reply = await cloud.call(who as 'demo', method, path, replaced(body, place, value) ?? null);
          assert.ok(reply.status < 500, `${reply.status} ${method} ${path} ${JSON.stringify(reply.json)}`);
          if (reply.status >= 400) assert.ok(reply.error, JSON.stringify(reply.json));
        },
      ),
      { numRuns: RUNS },
    );
  }
});

test('nor is any query', { timeout: 120_000 }, async () => {
  await using cloud = await networkHarness();
  await validRequests(cloud);
  const paths = ['networks', 'subnets', 'ports', 'routers', 'floatingips', 'security-groups', 'security-group-rules'];
  const names = [
    ...['id', 'name', 'project_id', 'limit', 'marker', 'sort_key', 'sort_dir', 'fields', 'page_reverse', 'tags'],
    ...[
      'not-tags-any',
      'fixed_ips',
      'security_groups',
      'mac_address',
      'cidr',
      'gateway_ip',
      'mtu',
      'shared',
      'created_at',
    ],
    ...['port_id', 'floating_ip_address', 'port_range_min', 'protocol', 'revision_number', 'status', 'ip_version'],
  ];
  const text = fc.oneof(
    fc.string({ maxLength: 20 }),
    fc.constantFrom('1', '-1', 'True', 'name', 'id', 'asc', '10.0.0.1', '99999999999999'),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...paths),
      fc.array(fc.tuple(fc.constantFrom(...names), text), { minLength: 1, maxLength: 4 }),
      async (path, pairs) => {
        const reply = await cloud.call('demo', 'GET', `/${path}?${new URLSearchParams(pairs)}`);
        assert.ok([200, 400].includes(reply.status), `${reply.status} ${JSON.stringify(reply.json)}`);
      },
    ),
    { numRuns: 400 },
  );
});
