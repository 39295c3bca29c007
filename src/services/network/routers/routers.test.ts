/** Routers and floating IPs: the way from a guest to the outside and back, and what keeps each part of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type NetworkHarness, networkHarness } from '../network-harness.ts';

async function external(cloud: NetworkHarness, cidr = '172.24.4.0/24') {
  const { id } = await cloud.make('admin', 'network', { name: 'public', 'router:external': true });
  const subnet = await cloud.make('admin', 'subnet', { network_id: id, cidr, ip_version: 4, enable_dhcp: false });
  return { id: id as string, subnetId: subnet.id as string };
}

async function inside(cloud: NetworkHarness, cidr = '10.0.0.0/24') {
  const { id } = await cloud.make('demo', 'network');
  const subnet = await cloud.make('demo', 'subnet', { network_id: id, cidr, ip_version: 4 });
  return { id: id as string, subnetId: subnet.id as string };
}

const router = (cloud: NetworkHarness, id: string, action: string, body: object) =>
  cloud.call('demo', 'PUT', `/routers/${id}${action}`, body);

test('a guest is reached from outside through its router, and each part stays as long as it is needed', async () => {
  await using cloud = await networkHarness();
  const out = await external(cloud);
  const net = await inside(cloud);
  const port = await cloud.make('demo', 'port', { network_id: net.id });
  const made = await cloud.make('demo', 'router', { name: 'r', external_gateway_info: { network_id: out.id } });
  assert.equal(made.external_gateway_info.network_id, out.id);
  assert.equal(made.external_gateway_info.enable_snat, true);
  const early = { floatingip: { floating_network_id: out.id, port_id: port.id } };
  const unreached = await cloud.call('demo', 'POST', '/floatingips', early);
  assert.deepEqual([unreached.status, unreached.error], [404, 'ExternalGatewayForFloatingIPNotFound']);
  const added = await router(cloud, made.id, '/add_router_interface', { subnet_id: net.subnetId });
  assert.deepEqual([added.status, added.json.subnet_ids], [200, [net.subnetId]]);
  const [ip] = (await cloud.call('demo', 'GET', `/ports?device_id=${made.id}`)).json.ports;
  assert.equal(ip.fixed_ips[0].ip_address, '10.0.0.1');
  assert.deepEqual([ip.device_owner, ip.status, ip.id], ['network:router_interface', 'ACTIVE', added.json.port_id]);

  const fip = await cloud.make('demo', 'floatingip', early.floatingip);
  assert.equal(fip.fixed_ip_address, port.fixed_ips[0].ip_address);
  assert.deepEqual([fip.status, fip.router_id], ['ACTIVE', made.id]);
  const again = await cloud.call('demo', 'POST', '/floatingips', early);
  assert.equal(again.error, 'FloatingIPPortAlreadyAssociated');
  const kept = [
    await router(cloud, made.id, '/remove_router_interface', { subnet_id: net.subnetId }),
    await router(cloud, made.id, '', { router: { external_gateway_info: null } }),
    await cloud.call('demo', 'DELETE', `/routers/${made.id}`),
    await cloud.call('demo', 'DELETE', `/ports/${ip.id}`),
    await cloud.call('admin', 'DELETE', `/networks/${out.id}`),
  ];
  assert.deepEqual(
    kept.map(({ status, error }) => [status, error]),
    [
      [409, 'RouterInterfaceInUseByFloatingIP'],
      [409, 'RouterExternalGatewayInUseByFloatingIp'],
      [409, 'RouterInUse'],
      [409, 'ServicePortInUse'],
      [409, 'NetworkInUse'],
    ],
  );
  // A guest that goes takes nothing with it but itself.
  await cloud.call('demo', 'DELETE', `/ports/${port.id}`);
  const left = await cloud.show('demo', 'floatingip', fip.id);
  assert.deepEqual([left.port_id, left.fixed_ip_address, left.router_id, left.status], [null, null, null, 'DOWN']);
  assert.equal((await cloud.call('demo', 'DELETE', `/floatingips/${fip.id}`)).status, 204);
  assert.equal((await cloud.call('demo', 'DELETE', `/routers/${made.id}`)).error, 'RouterInUse');
  assert.equal((await router(cloud, made.id, '/remove_router_interface', { port_id: ip.id })).status, 200);
  assert.equal((await cloud.call('demo', 'DELETE', `/routers/${made.id}`)).status, 204);
  assert.equal((await cloud.call('admin', 'DELETE', `/networks/${out.id}`)).status, 204);
  for (const id of [net.id, out.id]) assert.ok(cloud.changed.includes(id));
});

test('a floating IP goes from port to port, and to nowhere', async () => {
  await using cloud = await networkHarness();
  const out = await external(cloud);
  const net = await inside(cloud);
  const made = await cloud.make('demo', 'router', { external_gateway_info: { network_id: out.id } });
  await router(cloud, made.id, '/add_router_interface', { subnet_id: net.subnetId });
  const [a, b] = [
    await cloud.make('demo', 'port', { network_id: net.id }),
    await cloud.make('demo', 'port', {
      network_id: net.id,
      fixed_ips: [{ subnet_id: net.subnetId }, { subnet_id: net.subnetId }],
    }),
  ];
  const { id } = await cloud.make('demo', 'floatingip', { floating_network_id: out.id });
  const point = (floatingip: object) => cloud.call('demo', 'PUT', `/floatingips/${id}`, { floatingip });
  assert.equal((await point({ port_id: a.id })).json.floatingip.port_id, a.id);
  assert.equal((await point({ description: 'x' })).json.floatingip.port_id, a.id);
  assert.equal((await point({ port_id: b.id })).status, 400);
  const [, second] = b.fixed_ips;
  const pointed = await point({ port_id: b.id, fixed_ip_address: second.ip_address });
  assert.equal(pointed.json.floatingip.fixed_ip_address, second.ip_address);
  assert.equal((await cloud.call('demo', 'GET', `/floatingips?port_id=${b.id}`)).json.floatingips.length, 1);
  assert.equal((await point({ port_id: null })).json.floatingip.status, 'DOWN');
  assert.equal((await cloud.call('demo', 'GET', '/floatingips?port_id=')).json.floatingips.length, 1);
  const theirs = await cloud.call('other', 'GET', `/floatingips/${id}`);
  assert.equal(theirs.error, 'FloatingIPNotFound');
  const foreign = await cloud.make('other', 'floatingip', { floating_network_id: out.id });
  const stolen = await cloud.call('other', 'PUT', `/floatingips/${foreign.id}`, { floatingip: { port_id: a.id } });
  assert.equal(stolen.error, 'PortNotFound');
  const own = await cloud.call('demo', 'POST', '/floatingips', { floatingip: { floating_network_id: net.id } });
  assert.equal(own.status, 400);
});

test('an external network without room says so', async () => {
  await using cloud = await networkHarness();
  const out = await external(cloud, '172.24.4.0/29');
  const create = () => cloud.call('demo', 'POST', '/floatingips', { floatingip: { floating_network_id: out.id } });
  const replies = await Promise.all(Array.from({ length: 7 }, create));
  assert.equal(replies.filter(({ status }) => status === 201).length, 5);
  for (const reply of replies.filter(({ status }) => status !== 201))
    assert.deepEqual([reply.status, reply.error], [409, 'ExternalIpAddressExhausted']);
});

test('interfaces that do not go together are refused; a port can be one', async () => {
  await using cloud = await networkHarness();
  const out = await external(cloud);
  const net = await inside(cloud);
  const overlapping = await inside(cloud, '10.0.0.128/25');
  const outside = await inside(cloud, '172.24.4.0/26');
  const made = await cloud.make('demo', 'router', { external_gateway_info: { network_id: out.id } });
  const add = (body: object) => router(cloud, made.id, '/add_router_interface', body);
  assert.equal((await add({ subnet_id: net.subnetId })).status, 200);
  for (const body of [
    {},
    { subnet_id: net.subnetId },
    { subnet_id: overlapping.subnetId },
    { subnet_id: outside.subnetId },
    { subnet_id: net.subnetId, port_id: net.subnetId },
  ])
    assert.equal((await add(body)).status, 400, JSON.stringify(body));
  const other = await inside(cloud, '10.7.0.0/24');
  const port = await cloud.make('demo', 'port', { network_id: other.id, fixed_ips: [{ ip_address: '10.7.0.77' }] });
  assert.equal((await add({ port_id: port.id })).json.subnet_id, other.subnetId);
  assert.equal((await add({ port_id: port.id })).error, 'PortInUse');
  assert.deepEqual((await cloud.show('demo', 'port', port.id)).security_groups, []);
  const gone = await router(cloud, made.id, '/remove_router_interface', { subnet_id: outside.subnetId });
  assert.deepEqual([gone.status, gone.error], [404, 'RouterInterfaceNotFoundForSubnet']);
  const theirs = await cloud.call('other', 'PUT', `/routers/${made.id}/add_router_interface`, {
    subnet_id: net.subnetId,
  });
  assert.equal(theirs.error, 'RouterNotFound');
});

test('two that add the same subnet at once: one does', async () => {
  await using cloud = await networkHarness();
  const net = await inside(cloud);
  const routers = [await cloud.make('demo', 'router'), await cloud.make('demo', 'router')];
  const replies = await Promise.all(
    [...routers, ...routers].map(({ id }) => router(cloud, id, '/add_router_interface', { subnet_id: net.subnetId })),
  );
  assert.equal(replies.filter(({ status }) => status === 200).length, 1);
  assert.ok(replies.every(({ status }) => status < 500));
});

test('extra routes lead where the router reaches', async () => {
  await using cloud = await networkHarness();
  const net = await inside(cloud);
  const made = await cloud.make('demo', 'router');
  await router(cloud, made.id, '/add_router_interface', { subnet_id: net.subnetId });
  const a = { destination: '10.5.0.0/16', nexthop: '10.0.0.5' };
  const b = { destination: '10.6.0.0/16', nexthop: '10.0.0.6' };
  const set = (routes: object[]) => router(cloud, made.id, '', { router: { routes } });
  assert.deepEqual((await set([a])).json.router.routes, [a]);
  assert.equal((await set([{ ...a, nexthop: '10.9.0.5' }])).error, 'InvalidRoutes');
  assert.equal((await set([{ ...a, nexthop: '10.0.0.1' }])).error, 'InvalidRoutes');
  assert.equal((await set([{ ...a, destination: 'x' }])).status, 400);
  const more = await router(cloud, made.id, '/add_extraroutes', { router: { routes: [b, a] } });
  assert.deepEqual(more.json.router.routes, [a, b]);
  const kept = await router(cloud, made.id, '/remove_router_interface', { subnet_id: net.subnetId });
  assert.equal(kept.error, 'RouterInterfaceInUseByRoute');
  const less = await router(cloud, made.id, '/remove_extraroutes', { router: { routes: [a] } });
  assert.deepEqual(less.json.router.routes, [b]);
  assert.deepEqual((await set([])).json.router.routes, []);
});

test('a way out is only to what is external, and some of it only an administrator decides', async () => {
  await using cloud = await networkHarness();
  const out = await external(cloud);
  const net = await inside(cloud);
  const wrong = await cloud.call('demo', 'POST', '/routers', {
    router: { external_gateway_info: { network_id: net.id } },
  });
  assert.equal(wrong.status, 400);
  const { id } = await cloud.make('demo', 'router');
  const gateway = (token: 'demo' | 'admin', info: object | null) =>
    cloud.call(token, 'PUT', `/routers/${id}`, { router: { external_gateway_info: info } });
  assert.equal((await gateway('demo', { network_id: out.id, enable_snat: false })).status, 403);
  const fixed = { external_fixed_ips: [{ ip_address: '172.24.4.99' }] };
  assert.equal((await gateway('demo', { network_id: out.id, ...fixed })).status, 403);
  const set = await gateway('admin', { network_id: out.id, enable_snat: false, ...fixed });
  assert.deepEqual(set.json.router.external_gateway_info, {
    network_id: out.id,
    enable_snat: false,
    external_fixed_ips: [{ subnet_id: out.subnetId, ip_address: '172.24.4.99' }],
  });
  assert.equal((await gateway('demo', {})).json.router.external_gateway_info, null);
});
