/** Subnets: what ranges they can have, and what is in them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { networkHarness } from '../network-harness.ts';

test('a subnet gets a gateway, a pool, and an address where its helpers answer', async () => {
  await using cloud = await networkHarness();
  const { id: network_id } = await cloud.make('demo', 'network');
  const subnet = await cloud.make('demo', 'subnet', {
    network_id,
    name: 'sub',
    ip_version: 4,
    cidr: '10.0.0.0/24',
    dns_nameservers: ['9.9.9.9'],
    host_routes: [{ destination: '10.1.0.0/16', nexthop: '10.0.0.254' }],
  });
  assert.equal(subnet.gateway_ip, '10.0.0.1');
  assert.deepEqual(subnet.allocation_pools, [{ start: '10.0.0.2', end: '10.0.0.254' }]);
  assert.deepEqual(subnet.dns_nameservers, ['9.9.9.9']);
  assert.equal(subnet.enable_dhcp, true);
  assert.deepEqual((await cloud.show('demo', 'network', network_id)).subnets, [subnet.id]);
  const helpers = async () =>
    (await cloud.call('demo', 'GET', `/ports?network_id=${network_id}&device_owner=network:dhcp`)).json.ports;
  assert.equal((await helpers())[0].fixed_ips[0].subnet_id, subnet.id);
  const set = (body: object) => cloud.call('demo', 'PUT', `/subnets/${subnet.id}`, { subnet: body });
  assert.equal((await set({ enable_dhcp: false })).json.subnet.enable_dhcp, false);
  assert.deepEqual((await helpers())[0].fixed_ips, []);
  await set({ enable_dhcp: true, dns_nameservers: ['1.1.1.1', '2606:4700::1111'], host_routes: [] });
  assert.equal((await helpers())[0].fixed_ips.length, 1);
  assert.deepEqual((await cloud.show('demo', 'subnet', subnet.id)).host_routes, []);
  const pools = [{ start: '10.0.0.100', end: '10.0.0.110' }];
  assert.deepEqual(
    (await set({ allocation_pools: pools, gateway_ip: '10.0.0.9' })).json.subnet.allocation_pools,
    pools,
  );
  assert.equal((await set({ gateway_ip: '10.0.0.105' })).error, 'GatewayConflictWithAllocationPools');
  assert.equal((await set({ gateway_ip: null })).json.subnet.gateway_ip, null);
  assert.equal((await cloud.call('demo', 'DELETE', `/subnets/${subnet.id}`)).status, 204);
});

test('what is no range, or another’s, is refused with its reason', async () => {
  await using cloud = await networkHarness();
  const { id: network_id } = await cloud.make('demo', 'network');
  await cloud.make('demo', 'subnet', { network_id, ip_version: 4, cidr: '10.0.0.0/24' });
  const refused: [object, number, string][] = [
    [{ cidr: '10.0.0.0/25' }, 400, 'InvalidInput'],
    [{ cidr: '10.0.0.0/8' }, 400, 'InvalidInput'],
    [{ cidr: '10.0.1.7/24' }, 400, 'InvalidInput'],
    [{ cidr: 'ten' }, 400, 'InvalidInput'],
    [{ cidr: '10.0.1.0/33' }, 400, 'InvalidInput'],
    [{ cidr: '0.0.0.0/0' }, 400, 'InvalidInput'],
    [{ cidr: '224.0.0.0/24' }, 400, 'InvalidInput'],
    [{ cidr: '10.0.1.0/24', ip_version: 6 }, 400, 'InvalidInput'],
    [{ cidr: '10.0.1.0/24', gateway_ip: '10.0.1.0' }, 400, 'InvalidInput'],
    [{ cidr: '10.0.1.0/24', gateway_ip: 'x' }, 400, 'InvalidInput'],
    [{ cidr: '10.0.1.0/24', dns_nameservers: ['nobody'] }, 400, 'InvalidInput'],
    [{ cidr: '10.0.1.0/24', host_routes: [{ destination: '::/0', nexthop: '10.0.1.1' }] }, 400, 'InvalidInput'],
    [{ cidr: '10.0.1.0/24', ipv6_ra_mode: 'slaac' }, 400, 'InvalidInput'],
    [{ cidr: '2001:db8::/60', ip_version: 6, ipv6_address_mode: 'slaac' }, 400, 'InvalidInput'],
    [
      { cidr: '2001:db8::/64', ip_version: 6, ipv6_address_mode: 'slaac', ipv6_ra_mode: 'dhcpv6-stateful' },
      400,
      'InvalidInput',
    ],
    [{ cidr: '10.0.1.0/24', allocation_pools: [{ start: '10.0.1.9', end: '10.0.1.2' }] }, 400, 'InvalidAllocationPool'],
    [
      { cidr: '10.0.1.0/24', allocation_pools: [{ start: '10.0.1.9', end: '10.0.2.2' }] },
      400,
      'OutOfBoundsAllocationPool',
    ],
    [
      {
        cidr: '10.0.1.0/24',
        allocation_pools: [
          { start: '10.0.1.2', end: '10.0.1.9' },
          { start: '10.0.1.9', end: '10.0.1.20' },
        ],
      },
      409,
      'OverlappingAllocationPools',
    ],
    [
      { cidr: '10.0.1.0/24', gateway_ip: '10.0.1.5', allocation_pools: [{ start: '10.0.1.2', end: '10.0.1.9' }] },
      409,
      'GatewayConflictWithAllocationPools',
    ],
    [{ cidr: '10.0.1.0/24', colour: 'red' }, 400, 'HTTPBadRequest'],
    [{}, 400, 'HTTPBadRequest'],
  ];
  for (const [body, status, error] of refused) {
    const reply = await cloud.call('demo', 'POST', '/subnets', { subnet: { network_id, ip_version: 4, ...body } });
    assert.deepEqual([reply.status, reply.error], [status, error], JSON.stringify(body));
  }
  const theirs = await cloud.call('other', 'POST', '/subnets', { subnet: { network_id, cidr: '10.0.1.0/24' } });
  assert.equal(theirs.error, 'NetworkNotFound');
  const six = { network_id, ip_version: 6, cidr: '2001:DB8::/64', ipv6_address_mode: 'slaac', ipv6_ra_mode: 'slaac' };
  const made = await cloud.make('demo', 'subnet', six);
  assert.deepEqual([made.cidr, made.gateway_ip], ['2001:db8::/64', '2001:db8::1']);
  assert.equal((await cloud.call('demo', 'GET', '/subnets?cidr=2001:DB8:0::/64')).json.subnets.length, 1);
});

test('two that overlap cannot be made at once', async () => {
  await using cloud = await networkHarness();
  const { id: network_id } = await cloud.make('demo', 'network');
  const replies = await Promise.all(
    ['10.0.0.0/16', '10.0.0.0/24', '10.0.0.0/24', '10.0.0.128/25'].map((cidr) =>
      cloud.call('demo', 'POST', '/subnets', { subnet: { network_id, cidr, ip_version: 4 } }),
    ),
  );
  assert.deepEqual(replies.map(({ status }) => status).toSorted(), [201, 400, 400, 400]);
});

test('a subnet in use stays; those of a shared network are seen by all', async () => {
  await using cloud = await networkHarness();
  const { id: network_id } = await cloud.make('admin', 'network', { shared: true });
  const subnet = await cloud.make('admin', 'subnet', { network_id, cidr: '10.0.0.0/24', ip_version: 4 });
  const port = await cloud.make('demo', 'port', { network_id });
  assert.equal(port.fixed_ips[0].subnet_id, subnet.id);
  assert.equal((await cloud.show('demo', 'subnet', subnet.id)).cidr, '10.0.0.0/24');
  const kept = await cloud.call('admin', 'DELETE', `/subnets/${subnet.id}`);
  assert.deepEqual([kept.status, kept.error], [409, 'SubnetInUse']);
  assert.equal((await cloud.call('demo', 'DELETE', `/subnets/${subnet.id}`)).status, 403);
  const shut = await cloud.call('admin', 'PUT', `/networks/${network_id}`, { network: { shared: false } });
  assert.equal(shut.status, 409);
});
