/** Ports over HTTP: what they get, who sees them, what they may have. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addServer } from '#db/testing/server-row.ts';
import { type NetworkHarness, networkHarness, PROJECTS } from '../network-harness.ts';

async function network(cloud: NetworkHarness, cidr = '10.0.0.0/24', wanted: Record<string, unknown> = {}) {
  const { id: network_id } = await cloud.make('demo', 'network');
  const subnet = await cloud.make('demo', 'subnet', { network_id, cidr, ip_version: 4, ...wanted });
  return { network_id, subnet_id: subnet.id as string };
}

test('a port has a MAC, an address and the default group; lists find it by each', async () => {
  await using cloud = await networkHarness();
  const { network_id, subnet_id } = await network(cloud);
  const port = await cloud.make('demo', 'port', { network_id, name: 'p', dns_name: 'web' });
  assert.match(port.mac_address, /^fa:16:3e(:[0-9a-f]{2}){3}$/);
  const [{ ip_address }] = port.fixed_ips;
  assert.deepEqual(port.dns_assignment, [{ hostname: 'web', ip_address, fqdn: 'web.openstacklocal.' }]);
  assert.deepEqual([port.status, port.device_id, port.device_owner], ['DOWN', '', '']);
  const groups = (await cloud.call('demo', 'GET', '/security-groups?name=default')).json.security_groups;
  assert.deepEqual(port.security_groups, [groups[0].id]);
  assert.equal(groups[0].security_group_rules.length, 4);
  const found = [
    `mac_address=${port.mac_address.toUpperCase()}`,
    `fixed_ips=ip_address=${ip_address}`,
    `fixed_ips=subnet_id=${subnet_id}&fixed_ips=ip_address=${ip_address}&fixed_ips=ip_address=10.9.9.9`,
    `security_groups=${groups[0].id}`,
    `name=p&network_id=${network_id}&status=DOWN`,
    'device_id=&device_owner=',
    `fields=id&project_id=${PROJECTS.demo}&tenant_id=${PROJECTS.demo}&dns_name=web`,
  ];
  for (const query of found) {
    const { json } = await cloud.call('demo', 'GET', `/ports?${query}`);
    assert.deepEqual(
      json.ports.map(({ id }: { id: string }) => id),
      [port.id],
      query,
    );
  }
  for (const query of ['fixed_ips=ip_address=10.9.9.9', 'mac_address=nonsense', 'fixed_ips=ip_address=nonsense'])
    assert.deepEqual((await cloud.call('demo', 'GET', `/ports?${query}`)).json.ports, [], query);
  assert.equal((await cloud.call('demo', 'GET', '/ports?fixed_ips=x=y')).status, 400);
});

test('thirty ports at once have thirty addresses; a full network says so', async () => {
  await using cloud = await networkHarness();
  const { network_id } = await network(cloud, '10.0.0.0/27', { enable_dhcp: false });
  const create = () => cloud.call('demo', 'POST', '/ports', { port: { network_id } });
  const replies = await Promise.all(Array.from({ length: 31 }, create));
  const made = replies.filter(({ status }) => status === 201);
  assert.equal(made.length, 29);
  assert.equal(new Set(made.map(({ json }) => json.port.fixed_ips[0].ip_address)).size, 29);
  for (const reply of replies.filter(({ status }) => status !== 201))
    assert.deepEqual([reply.status, reply.error], [409, 'IpAddressGenerationFailure']);
});

test('a port changes its addresses, groups and pairs', async () => {
  await using cloud = await networkHarness();
  const { network_id, subnet_id } = await network(cloud);
  const { id } = await cloud.make('demo', 'port', { network_id, fixed_ips: [{ ip_address: '10.0.0.50' }] });
  const set = (port: object) => cloud.call('demo', 'PUT', `/ports/${id}`, { port });
  const group = await cloud.make('demo', 'security_group', { name: 'web' });
  const changed = await set({
    name: 'n',
    fixed_ips: [{ ip_address: '10.0.0.50' }, { subnet_id }],
    security_groups: [group.id],
    allowed_address_pairs: [{ ip_address: '10.5.0.0/16' }, { ip_address: '10.0.0.9', mac_address: 'FA:16:3E:0:0:1' }],
  });
  assert.equal(changed.error, 'InvalidInput');
  const right = await set({
    name: 'n',
    fixed_ips: [{ ip_address: '10.0.0.50' }, { subnet_id }],
    security_groups: [group.id],
    allowed_address_pairs: [
      { ip_address: '10.5.0.0/16' },
      { ip_address: '10.0.0.9', mac_address: 'FA:16:3E:00:00:01' },
    ],
  });
  assert.equal(right.status, 200, JSON.stringify(right.json));
  const port = await cloud.show('demo', 'port', id);
  assert.equal(port.fixed_ips.length, 2);
  assert.ok(port.fixed_ips.some((each: { ip_address: string }) => each.ip_address === '10.0.0.50'));
  assert.deepEqual(port.security_groups, [group.id]);
  assert.deepEqual(port.allowed_address_pairs, [
    { ip_address: '10.5.0.0/16', mac_address: port.mac_address },
    { ip_address: '10.0.0.9', mac_address: 'fa:16:3e:00:00:01' },
  ]);
  assert.equal((await set({ port_security_enabled: false })).error, 'PortSecurityPortHasSecurityGroup');
  const open = await set({ port_security_enabled: false, security_groups: [], allowed_address_pairs: [] });
  assert.equal(open.json.port.port_security_enabled, false);
  assert.equal((await set({ security_groups: [group.id] })).error, 'PortSecurityPortHasSecurityGroup');
  assert.deepEqual((await set({ fixed_ips: [] })).json.port.fixed_ips, []);
  assert.equal(
    (await cloud.make('demo', 'port', { network_id, fixed_ips: [{ ip_address: '10.0.0.50' }] })).status,
    'DOWN',
  );
  const used = (await cloud.call('demo', 'DELETE', `/security-groups/${group.id}`)).status;
  assert.equal(used, 204, 'no port is in it any more');
});

test("ports are their project's, and the network's owner's", async () => {
  await using cloud = await networkHarness();
  const { id: network_id } = await cloud.make('admin', 'network', { shared: true, project_id: PROJECTS.demo });
  await cloud.make('admin', 'subnet', { network_id, cidr: '10.0.0.0/24', ip_version: 4 });
  const theirs = await cloud.make('other', 'port', { network_id });
  assert.equal((await cloud.show('demo', 'port', theirs.id)).project_id, PROJECTS.other);
  assert.ok(!Object.hasOwn(theirs, 'binding:host_id'));
  assert.equal((await cloud.show('admin', 'port', theirs.id))['binding:vif_type'], 'unbound');
  const own = await cloud.make('demo', 'port', { network_id });
  assert.equal((await cloud.call('other', 'GET', `/ports/${own.id}`)).error, 'PortNotFound');
  assert.equal((await cloud.call('other', 'DELETE', `/ports/${own.id}`)).error, 'PortNotFound');
  const refused = [
    { mac_address: 'fa:16:3e:00:00:01' },
    { fixed_ips: [{ ip_address: '10.0.0.9' }] },
    { port_security_enabled: false },
    { allowed_address_pairs: [] },
    { device_owner: 'network:something' },
    { 'binding:host_id': 'host-1' },
    { 'binding:profile': { a: 1 } },
    { project_id: PROJECTS.demo },
  ];
  for (const wanted of refused) {
    const reply = await cloud.call('other', 'POST', '/ports', { port: { network_id, ...wanted } });
    assert.equal(reply.status, 403, JSON.stringify(wanted));
  }
  const groups = (await cloud.call('demo', 'GET', '/security-groups')).json.security_groups;
  const wanted = { network_id, security_groups: [groups[0].id] };
  assert.equal((await cloud.call('other', 'POST', '/ports', { port: wanted })).error, 'SecurityGroupNotFound');
  const out = await cloud.make('admin', 'network', { 'router:external': true });
  assert.equal((await cloud.call('other', 'POST', '/ports', { port: { network_id: out.id } })).status, 403);
});

test('no port says that it is a router’s, or a server’s that did not get it', async () => {
  await using cloud = await networkHarness();
  const { network_id } = await network(cloud);
  const server = await addServer(cloud.database, { project_id: PROJECTS.other });
  const refused = [
    { device_owner: 'network:router_interface', device_id: 'r' },
    { device_owner: 'network:floatingip' },
    { device_owner: 'compute:nova', device_id: server.id },
  ];
  const port = await cloud.make('demo', 'port', { network_id, device_owner: 'compute:nova', device_id: 'elsewhere' });
  for (const device of refused) {
    const made = await cloud.call('demo', 'POST', '/ports', { port: { network_id, ...device } });
    assert.equal(made.status, 400, JSON.stringify(device));
    assert.equal((await cloud.call('demo', 'PUT', `/ports/${port.id}`, { port: device })).status, 400);
  }
});

test('what is no port is refused, and hurts nobody', async () => {
  await using cloud = await networkHarness();
  const { network_id } = await network(cloud);
  const wrong = [
    {},
    { network_id: 7 },
    { network_id: 'x' },
    { network_id, name: 'x'.repeat(256) },
    { network_id, name: 'nul\0' },
    { network_id, mac_address: '01:00:5e:00:00:01' },
    { network_id, mac_address: null },
    { network_id, fixed_ips: [{ ip_address: '::1' }] },
    { network_id, fixed_ips: [{ ip_address: '10.0.0.300' }] },
    { network_id, fixed_ips: [{}] },
    { network_id, fixed_ips: 'x' },
    { network_id, fixed_ips: Array.from({ length: 6 }, (_, n) => ({ ip_address: `10.0.0.${20 + n}` })) },
    { network_id, fixed_ips: [{ ip_address: '10.0.0.0' }] },
    { network_id, fixed_ips: [{ subnet_id: network_id }] },
    { network_id, security_groups: ['x'] },
    { network_id, dns_name: '-' },
    { network_id, 'binding:vnic_type': 'direct' },
    { network_id, allowed_address_pairs: [{ ip_address: '10.0.0.0/99' }] },
    { network_id, admin_state_up: 'perhaps' },
  ];
  for (const port of wrong) {
    const reply = await cloud.call('demo', 'POST', '/ports', { port });
    assert.equal(reply.status, 400, JSON.stringify(port));
  }
  for (const body of [{}, { port: null }, { port: {}, ports: [] }, { ports: [] }, { ports: [7] }, [], 7])
    assert.equal((await cloud.call('demo', 'POST', '/ports', body)).status, 400, JSON.stringify(body));
  const missing = await cloud.call('demo', 'POST', '/ports', {
    port: { network_id: '00000000-0000-0000-0000-000000000000' },
  });
  assert.equal(missing.error, 'NetworkNotFound');
  assert.equal((await cloud.call('demo', 'GET', '/ports?device_owner=')).json.ports.length, 0);
});
