/** Networks: who sees and changes them, lists of them, and what keeps one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { networkHarness, PROJECTS } from '../network-harness.ts';

test('a network is made with what everybody gets, shown, changed and deleted', async () => {
  await using cloud = await networkHarness();
  const made = await cloud.make('demo', 'network', { name: 'net', description: 'first' });
  assert.deepEqual(
    { ...made, id: '' },
    {
      id: '',
      name: 'net',
      description: 'first',
      project_id: PROJECTS.demo,
      tenant_id: PROJECTS.demo,
      status: 'ACTIVE',
      admin_state_up: true,
      shared: false,
      'router:external': false,
      mtu: 1450,
      port_security_enabled: true,
      dns_domain: '',
      subnets: [],
      availability_zone_hints: [],
      availability_zones: ['nova'],
      ipv4_address_scope: null,
      ipv6_address_scope: null,
      tags: [],
      created_at: '2026-01-31T12:00:01Z',
      updated_at: '2026-01-31T12:00:01Z',
      revision_number: 0,
    },
  );
  const path = `/networks/${made.id}`;
  const changed = await cloud.call('demo', 'PUT', path, {
    network: { name: 'other', admin_state_up: false, mtu: 1400 },
  });
  assert.equal(changed.status, 200);
  const { name, admin_state_up, mtu, revision_number } = await cloud.show('demo', 'network', made.id);
  assert.deepEqual([name, admin_state_up, mtu, revision_number], ['other', false, 1400, 1]);
  assert.equal((await cloud.call('demo', 'DELETE', path)).status, 204);
  assert.deepEqual((await cloud.call('demo', 'GET', path)).error, 'NetworkNotFound');
});

test('the network is a wall between projects, except for what is shared or external', async () => {
  await using cloud = await networkHarness();
  const own = await cloud.make('demo', 'network', { name: 'own' });
  const shared = await cloud.make('admin', 'network', { name: 'shared', shared: true });
  const out = await cloud.make('admin', 'network', { name: 'out', 'router:external': true });
  const names = async (token: 'demo' | 'other' | 'admin') =>
    (await cloud.call(token, 'GET', '/networks')).json.networks.map((each: { name: string }) => each.name);
  assert.deepEqual(await names('other'), ['shared', 'out']);
  assert.deepEqual(await names('demo'), ['own', 'shared', 'out']);
  assert.deepEqual(await names('admin'), ['own', 'shared', 'out']);
  for (const method of ['GET', 'PUT', 'DELETE']) {
    const body = method === 'PUT' ? { network: { name: 'mine' } } : undefined;
    assert.equal((await cloud.call('other', method, `/networks/${own.id}`, body)).error, 'NetworkNotFound');
    if (method === 'GET') continue;
    for (const { id } of [shared, out])
      assert.equal((await cloud.call('other', method, `/networks/${id}`, body)).error, 'PolicyNotAuthorized');
  }
  assert.equal((await cloud.call('reader', 'POST', '/networks', { network: {} })).status, 403);
  assert.equal((await cloud.call('reader', 'GET', `/networks/${own.id}`)).status, 200);
});

test('only an administrator shares, opens the way out, acts for others, and sees what is below', async () => {
  await using cloud = await networkHarness();
  const refused = [
    { shared: true },
    { 'router:external': true },
    { 'provider:network_type': 'vxlan' },
    { 'provider:segmentation_id': 7 },
    { project_id: PROJECTS.other },
    { tenant_id: PROJECTS.other },
  ];
  for (const network of refused) {
    const reply = await cloud.call('demo', 'POST', '/networks', { network });
    assert.equal(reply.status, 403, JSON.stringify(network));
    assert.equal(reply.error, 'PolicyNotAuthorized');
  }
  const plain = await cloud.make('demo', 'network', { shared: false, 'router:external': false });
  assert.equal((await cloud.call('demo', 'PUT', `/networks/${plain.id}`, { network: { shared: true } })).status, 403);
  assert.ok(!Object.hasOwn(plain, 'provider:network_type'));
  const theirs = await cloud.make('admin', 'network', { tenant_id: PROJECTS.other, 'provider:segmentation_id': 77 });
  assert.equal(theirs.project_id, PROJECTS.other);
  assert.equal(theirs['provider:segmentation_id'], 77);
  assert.equal(theirs['provider:network_type'], 'vxlan');
  const again = await cloud.call('admin', 'POST', '/networks', { network: { 'provider:segmentation_id': 77 } });
  assert.equal(again.status, 409);
  const vlan = await cloud.call('admin', 'POST', '/networks', { network: { 'provider:network_type': 'vlan' } });
  assert.equal(vlan.error, 'InvalidInput');
});

test('lists: filters, repeated keys, order, fields, pages both ways', async () => {
  await using cloud = await networkHarness();
  const made = [];
  for (const name of ['d', 'a', 'c', 'b', 'e']) made.push(await cloud.make('demo', 'network', { name }));
  const list = async (query: string) => (await cloud.call('demo', 'GET', `/networks?${query}`)).json;
  const names = async (query: string) => (await list(query)).networks.map((each: { name: string }) => each.name);
  assert.deepEqual(await names(''), ['d', 'a', 'c', 'b', 'e']);
  assert.deepEqual(await names('name=a&name=b&sort_key=name'), ['a', 'b']);
  assert.deepEqual(await names('name=a&admin_state_up=false'), []);
  assert.deepEqual(await names(`id=${made[2].id}&shared=False&status=ACTIVE`), ['c']);
  assert.deepEqual(await names('sort_key=name&sort_dir=desc'), ['e', 'd', 'c', 'b', 'a']);
  assert.deepEqual((await list('name=a&fields=id&fields=name')).networks, [{ id: made[1].id, name: 'a' }]);
  const first = await list('sort_key=name&sort_dir=asc&limit=2');
  assert.deepEqual(
    first.networks.map((each: { name: string }) => each.name),
    ['a', 'b'],
  );
  const href = (rel: string, of: { networks_links: { rel: string; href: string }[] }) =>
    new URL(of.networks_links.find((link) => link.rel === rel)?.href ?? '').search.slice(1);
  const second = await list(href('next', first));
  assert.deepEqual(
    second.networks.map((each: { name: string }) => each.name),
    ['c', 'd'],
  );
  assert.deepEqual(await names(href('previous', second)), ['a', 'b']);
  const last = await list(href('next', second));
  assert.equal(last.networks.length, 1);
  assert.ok(last.networks_links.every((link: { rel: string }) => link.rel === 'previous'));
});

test('a query that cannot be meant is refused', async () => {
  await using cloud = await networkHarness();
  const wrong = [
    'colour=red',
    'limit=-1',
    'limit=many',
    'marker=nothing',
    'sort_key=colour',
    'sort_key=name&sort_dir=up',
    'sort_key=name&sort_dir=asc&sort_dir=desc',
    'shared=perhaps',
    '__proto__=1',
    'constructor=1',
  ];
  for (const query of wrong) {
    const reply = await cloud.call('demo', 'GET', `/networks?${query}`);
    assert.equal(reply.status, 400, query);
    assert.ok(reply.error, query);
  }
});

test('several are made at once, or none', async () => {
  await using cloud = await networkHarness();
  const made = await cloud.call('demo', 'POST', '/networks', { networks: [{ name: 'a' }, { name: 'b' }] });
  assert.equal(made.status, 201);
  assert.deepEqual(
    made.json.networks.map((each: { name: string }) => each.name),
    ['a', 'b'],
  );
  await cloud.call('admin', 'PUT', `/quotas/${PROJECTS.demo}`, { quota: { network: 3 } });
  const over = await cloud.call('demo', 'POST', '/networks', { networks: [{ name: 'c' }, { name: 'd' }] });
  assert.equal(over.error, 'OverQuota');
  assert.equal(over.status, 409);
  assert.equal((await cloud.call('demo', 'GET', '/networks')).json.networks.length, 2);
});

test('a network with ports stays; its own helpers keep it not', async () => {
  await using cloud = await networkHarness();
  const { id } = await cloud.make('demo', 'network');
  await cloud.make('demo', 'subnet', { network_id: id, cidr: '10.0.0.0/24', ip_version: 4 });
  const port = await cloud.make('demo', 'port', { network_id: id });
  const kept = await cloud.call('demo', 'DELETE', `/networks/${id}`);
  assert.deepEqual([kept.status, kept.error], [409, 'NetworkInUse']);
  assert.equal((await cloud.call('demo', 'DELETE', `/ports/${port.id}`)).status, 204);
  const owners = (await cloud.call('demo', 'GET', `/ports?network_id=${id}`)).json.ports.map(
    (each: { device_owner: string }) => each.device_owner,
  );
  assert.deepEqual(owners, ['network:dhcp']);
  assert.equal((await cloud.call('demo', 'DELETE', `/networks/${id}`)).status, 204);
  assert.deepEqual((await cloud.call('demo', 'GET', '/ports')).json.ports, []);
  assert.deepEqual((await cloud.call('demo', 'GET', '/subnets')).json.subnets, []);
  assert.ok(cloud.changed.includes(id));
});
