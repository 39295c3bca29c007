/** What is not of one collection: versions, extensions, tags, quotas, agents, addresses in use, a network for who asks for any. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { registerHost } from '#db/repo/hosts.ts';
import { cidrFrom } from '#domain/network/cidr.ts';
import { ensureDefaultNetworks } from './default-networks.ts';
import { networkHarness, PROJECTS } from './network-harness.ts';

test('clients find the version, and what there is', async () => {
  await using cloud = await networkHarness();
  const root = await cloud.server.inject({ url: '/network', headers: { host: 'cloud:1' } });
  assert.deepEqual(JSON.parse(root.payload), {
    versions: [{ id: 'v2.0', status: 'CURRENT', links: [{ rel: 'self', href: 'http://cloud:1/network/v2.0/' }] }],
  });
  const { extensions } = (await cloud.call('demo', 'GET', '/extensions')).json;
  assert.ok(extensions.some(({ alias }: { alias: string }) => alias === 'router'));
  assert.equal((await cloud.call('demo', 'GET', '/extensions/security-group')).json.extension.alias, 'security-group');
  assert.equal((await cloud.call('demo', 'GET', '/extensions/qos')).status, 404);
  const anonymous = await cloud.server.inject({ url: '/network/v2.0/networks' });
  assert.equal(anonymous.statusCode, 401);
});

test('tags: all at once, one by one, and lists by them', async () => {
  await using cloud = await networkHarness();
  const make = async (name: string, tags: string[]) => {
    const { id } = await cloud.make('demo', 'network', { name });
    assert.equal((await cloud.call('demo', 'PUT', `/networks/${id}/tags`, { tags })).status, 200);
    return id as string;
  };
  const id = await make('ab', ['b', 'a', 'a']);
  await make('bc', ['b', 'c']);
  await make('none', []);
  const names = async (query: string) =>
    (await cloud.call('demo', 'GET', `/networks?${query}`)).json.networks.map((each: { name: string }) => each.name);
  assert.deepEqual((await cloud.show('demo', 'network', id)).tags, ['a', 'b']);
  assert.deepEqual(await names('tags=a,b'), ['ab']);
  assert.deepEqual(await names('tags-any=a,c'), ['ab', 'bc']);
  assert.deepEqual(await names('not-tags=b,c'), ['ab', 'none']);
  assert.deepEqual(await names('not-tags-any=a,c'), ['none']);
  const one = (method: string, tag: string) => cloud.call('demo', method, `/networks/${id}/tags/${tag}`);
  assert.equal((await one('PUT', 'z')).status, 201);
  assert.equal((await one('GET', 'z')).status, 204);
  assert.equal((await one('DELETE', 'z')).status, 204);
  assert.equal((await one('DELETE', 'z')).error, 'TagNotFound');
  assert.equal((await cloud.call('other', 'PUT', `/networks/${id}/tags`, { tags: [] })).error, 'NetworkNotFound');
  assert.equal((await cloud.call('demo', 'PUT', `/networks/${id}/tags`, { tags: ['x'.repeat(256)] })).status, 400);
  assert.equal((await cloud.call('demo', 'DELETE', `/networks/${id}/tags`)).status, 204);
  assert.deepEqual((await cloud.call('demo', 'GET', `/networks/${id}/tags`)).json, { tags: [] });
});

test('quotas are kept, and what is used is what is there', async () => {
  await using cloud = await networkHarness();
  const path = `/quotas/${PROJECTS.demo}`;
  assert.equal((await cloud.call('demo', 'GET', path)).json.quota.port, 500);
  assert.equal((await cloud.call('other', 'GET', path)).status, 403);
  assert.equal((await cloud.call('demo', 'PUT', path, { quota: { port: -1 } })).status, 403);
  const set = await cloud.call('admin', 'PUT', path, { quota: { port: 2, security_group: '1', router: 0 } });
  assert.deepEqual([set.json.quota.port, set.json.quota.security_group, set.json.quota.network], [2, 1, 100]);
  const { id: network_id } = await cloud.make('demo', 'network');
  const create = () => cloud.call('demo', 'POST', '/ports', { port: { network_id } });
  const replies = await Promise.all([create(), create(), create(), create()]);
  assert.deepEqual(replies.map(({ status }) => status).toSorted(), [201, 201, 409, 409]);
  assert.equal((await cloud.call('demo', 'POST', '/routers', { router: {} })).error, 'OverQuota');
  assert.equal(
    (await cloud.call('demo', 'POST', '/security-groups', { security_group: { name: 'x' } })).error,
    'OverQuota',
  );
  const details = (await cloud.call('demo', 'GET', `${path}/details.json`)).json.quota;
  assert.deepEqual(details.port, { limit: 2, used: 2, reserved: 0 });
  assert.equal((await cloud.call('admin', 'GET', '/quotas')).json.quotas[0].project_id, PROJECTS.demo);
  assert.equal((await cloud.call('admin', 'PUT', path, { quota: { port: 'many' } })).status, 400);
  assert.equal((await cloud.call('admin', 'DELETE', path)).status, 204);
  assert.equal((await create()).status, 201);
});

test('agents are the hosts, for administrators', async () => {
  await using cloud = await networkHarness();
  const host = {
    name: 'host-1',
    availability_zone: 'nova',
    vcpus: 1,
    memory_mib: 1,
    disk_gib: 1,
    hypervisor_type: 'QEMU',
    hypervisor_version: 1,
    cpu_model: '',
    cpu_arch: '',
    contract_version: 1,
  };
  await cloud.database.transaction((trx) => registerHost(trx, host, cloud.clock));
  const { agents } = (await cloud.call('admin', 'GET', '/agents?host=host-1')).json;
  assert.deepEqual([agents.length, agents[0].host, agents[0].alive], [1, 'host-1', true]);
  assert.equal((await cloud.call('admin', 'GET', `/agents/${agents[0].id}`)).json.agent.host, 'host-1');
  assert.equal((await cloud.call('demo', 'GET', '/agents')).status, 403);
  const zones = (await cloud.call('demo', 'GET', '/availability_zones')).json.availability_zones;
  assert.deepEqual(new Set(zones.map((zone: { resource: string }) => zone.resource)), new Set(['network', 'router']));
});

test('addresses in use are counted', async () => {
  await using cloud = await networkHarness();
  const { id: network_id } = await cloud.make('demo', 'network');
  await cloud.make('demo', 'subnet', { network_id, cidr: '10.0.0.0/28', ip_version: 4 });
  await cloud.make('demo', 'port', { network_id });
  const shown = await cloud.call('admin', 'GET', `/network-ip-availabilities/${network_id}`);
  const { total_ips, used_ips } = shown.json.network_ip_availability;
  // The second one is the network's own helpers'.
  assert.deepEqual([total_ips, used_ips], [13, 2]);
  assert.equal((await cloud.call('demo', 'GET', '/network-ip-availabilities')).status, 403);
});

test('who asks for any network gets one, always the same, if there is a way out', async () => {
  await using cloud = await networkHarness();
  const ask = () => cloud.call('demo', 'GET', `/auto-allocated-topology/${PROJECTS.demo}`);
  const none = await ask();
  assert.deepEqual([none.status, none.error], [400, 'AutoAllocationFailure']);
  const out = await cloud.make('admin', 'network', { 'router:external': true, is_default: true });
  await cloud.make('admin', 'subnet', { network_id: out.id, cidr: '172.24.4.0/24', ip_version: 4 });
  assert.equal(
    (await cloud.call('demo', 'GET', `/auto-allocated-topology/${PROJECTS.demo}?fields=dry-run`)).json
      .auto_allocated_topology.id,
    'dry-run=pass',
  );
  const ids = (await Promise.all([ask(), ask(), ask()])).map(({ json }) => json.auto_allocated_topology.id);
  assert.equal(new Set(ids).size, 1);
  const networks = (await cloud.call('demo', 'GET', `/networks?project_id=${PROJECTS.demo}`)).json.networks;
  assert.deepEqual(
    networks.map((each: { id: string }) => each.id),
    [ids[0]],
  );
  const [router] = (await cloud.call('demo', 'GET', '/routers')).json.routers;
  assert.equal(router.external_gateway_info.network_id, out.id);
  assert.equal((await cloud.call('demo', 'DELETE', `/auto-allocated-topology/${PROJECTS.demo}`)).status, 204);
  assert.deepEqual((await cloud.call('demo', 'GET', '/routers')).json.routers, []);
});

test('an empty cloud gets the networks of DevStack, once', async () => {
  await using cloud = await networkHarness();
  for (const name of ['admin', 'demo'])
    await cloud.database.queries
      .insertInto('projects')
      .values({ id: `project-${name}`, name, description: '', enabled: 1, created_at: 1 })
      .execute();
  const deps = { db: cloud.database, now: () => 1 };
  const range = cidrFrom('172.24.4.0/24');
  await Promise.all([ensureDefaultNetworks(deps, range), ensureDefaultNetworks(deps, range)]);
  const { networks } = (await cloud.call('admin', 'GET', '/networks?sort_key=name')).json;
  assert.deepEqual(
    networks.map((each: { name: string; project_id: string }) => [each.name, each.project_id]),
    [
      ['private', PROJECTS.demo],
      ['public', PROJECTS.admin],
    ],
  );
  const [router] = (await cloud.call('demo', 'GET', '/routers')).json.routers;
  assert.deepEqual([router.name, router.external_gateway_info.network_id], ['router1', networks[1].id]);
  const subnets = (await cloud.call('admin', 'GET', '/subnets?sort_key=cidr')).json.subnets;
  assert.deepEqual(
    subnets.map((each: { cidr: string; gateway_ip: string; enable_dhcp: boolean }) => [
      each.cidr,
      each.gateway_ip,
      each.enable_dhcp,
    ]),
    [
      ['10.0.0.0/20', '10.0.0.1', true],
      ['172.24.4.0/24', '172.24.4.1', false],
    ],
  );
  assert.deepEqual(subnets[1].allocation_pools, [{ start: '172.24.4.2', end: '172.24.4.254' }]);
});
