/** The network service with the unchanged `openstack` command: everything that a tutorial does with it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testCloud } from '../cloud.ts';
import { needClients, Programs } from './programs.ts';

test('the openstack command knows every thing of a network', { timeout: 240_000 }, async (t) => {
  needClients();
  await using cloud = await testCloud({ driver: 'fake' });
  const user = new Programs(cloud.data, 'micronova');
  const admin = new Programs(cloud.data, 'micronova-admin');
  await t.test('a new cloud has networks', () => defaults(user));
  await t.test('networks and subnets', () => networks(user));
  await t.test('ports and security groups', () => ports(user));
  await t.test('routers and floating IPs', () => routers(user));
  await t.test('what an administrator does', () => administration(admin));
  await t.test('what was made is gone', () => cleanUp(user));
});

type Row = Readonly<Record<string, unknown>>;

const column = (rows: readonly Row[], name: string) => rows.map((row) => row[name]).toSorted();

async function defaults(user: Programs): Promise<void> {
  const [networks, subnets, routers, groups, extensions] = await Promise.all([
    user.json('network', 'list'),
    user.json('subnet', 'list'),
    user.json('router', 'list'),
    user.json('security', 'group', 'list'),
    user.json('extension', 'list', '--network'),
  ]);
  assert.deepEqual(column(networks, 'Name'), ['private', 'public']);
  assert.deepEqual(column(subnets, 'Subnet'), ['10.0.0.0/20']);
  assert.deepEqual(column(routers, 'Name'), ['router1']);
  assert.deepEqual(column(groups, 'Name'), ['default']);
  assert.ok(column(extensions, 'Alias').includes('router'));
}

async function networks(user: Programs): Promise<void> {
  const made = await user.json('network', 'create', '--description', 'mine', '--mtu', '1400', '--tag', 'blue', 'net');
  assert.equal(made.mtu, 1400);
  const options = [
    '--dns-nameserver',
    '9.9.9.9',
    '--allocation-pool',
    'start=10.9.0.10,end=10.9.0.99',
    '--tag',
    'blue',
  ];
  const route = ['--host-route', 'destination=10.8.0.0/16,gateway=10.9.0.254'];
  const [subnet, six] = [
    await user.json(
      'subnet',
      'create',
      '--network',
      'net',
      '--subnet-range',
      '10.9.0.0/24',
      ...options,
      ...route,
      'sub',
    ),
    await user.json(
      ...['subnet', 'create', '--network', 'net', '--subnet-range', '2001:db8::/64', '--ip-version', '6'],
      ...['--ipv6-ra-mode', 'slaac', '--ipv6-address-mode', 'slaac', 'six'],
    ),
  ];
  assert.equal(subnet.gateway_ip, '10.9.0.1');
  assert.deepEqual(subnet.allocation_pools, [{ start: '10.9.0.10', end: '10.9.0.99' }]);
  assert.equal(six.ipv6_address_mode, 'slaac');
  await user.openstack('network', 'set', '--name', 'renamed', '--disable', '--tag', 'red', 'net');
  await user.openstack('subnet', 'set', '--no-dhcp', '--dns-nameserver', '1.1.1.1', 'sub');
  const [shown, list, changed] = await Promise.all([
    user.json('network', 'show', 'renamed'),
    user.json('network', 'list', '--tags', 'blue,red'),
    user.json('subnet', 'show', 'sub'),
  ]);
  assert.deepEqual([shown.admin_state_up, shown.tags, shown.subnets.length], [false, ['blue', 'red'], 2]);
  assert.deepEqual(column(list, 'Name'), ['renamed']);
  assert.equal(changed.enable_dhcp, false);
  assert.deepEqual(changed.dns_nameservers.toSorted(), ['1.1.1.1', '9.9.9.9']);
  await Promise.all([
    user.openstack('subnet', 'unset', '--dns-nameserver', '9.9.9.9', 'sub'),
    user.openstack('network', 'unset', '--tag', 'red', 'renamed'),
  ]);
  await user.openstack('network', 'set', '--enable', '--name', 'net', 'renamed');
  assert.deepEqual((await user.json('subnet', 'show', 'sub')).dns_nameservers, ['1.1.1.1']);
  const refused = await user.refused('subnet', 'create', '--network', 'net', '--subnet-range', '10.9.0.0/25', 'bad');
  assert.match(refused, /overlaps with another subnet/);
}

async function ports(user: Programs): Promise<void> {
  await user.openstack('security', 'group', 'create', '--description', 'http', 'web');
  const rules = [
    ['--protocol', 'tcp', '--dst-port', '80:81', '--remote-ip', '10.0.0.0/8'],
    ['--protocol', 'icmp', '--icmp-type', '8'],
    ['--egress', '--ethertype', 'IPv6', '--protocol', 'udp', '--dst-port', '53'],
    ['--remote-group', 'default'],
  ];
  const made = await Promise.all(rules.map((rule) => user.json('security', 'group', 'rule', 'create', ...rule, 'web')));
  assert.deepEqual([made[0].port_range_min, made[0].port_range_max, made[0].protocol], [80, 81, 'tcp']);
  const port = await user.json(
    'port',
    'create',
    '--network',
    'net',
    '--fixed-ip',
    'subnet=sub,ip-address=10.9.0.7',
    'p',
  );
  assert.deepEqual(
    port.fixed_ips.map((each: { ip_address: string }) => each.ip_address),
    ['10.9.0.7'],
  );
  const pair = ['--allowed-address', 'ip-address=10.9.0.200'];
  await user.openstack('port', 'set', '--security-group', 'web', '--name', 'named', '--tag', 'x', ...pair, 'p');
  const [shown, list, group, ruleList] = await Promise.all([
    user.json('port', 'show', 'named'),
    user.json('port', 'list', '--fixed-ip', 'ip-address=10.9.0.7'),
    user.json('security', 'group', 'show', 'web'),
    user.json('security', 'group', 'rule', 'list', 'web'),
  ]);
  assert.ok(shown.security_group_ids.includes(group.id));
  assert.equal(shown.allowed_address_pairs[0].ip_address, '10.9.0.200');
  assert.deepEqual(column(list, 'Name'), ['named']);
  assert.equal(ruleList.length, 6);
  assert.match(await user.refused('security', 'group', 'delete', 'web'), /in use/);
  await user.openstack(
    'port',
    'unset',
    '--security-group',
    'web',
    '--fixed-ip',
    'subnet=sub,ip-address=10.9.0.7',
    'named',
  );
  const after = await user.json('port', 'show', 'named');
  assert.deepEqual([after.fixed_ips, after.security_group_ids.includes(group.id)], [[], false]);
  await user.openstack('port', 'set', '--no-fixed-ip', '--fixed-ip', 'subnet=sub', 'named');
  await user.openstack('security', 'group', 'set', '--name', 'http', 'web');
  await user.openstack('security', 'group', 'rule', 'delete', made[0].id);
  assert.equal((await user.json('security', 'group', 'rule', 'list', 'http')).length, 5);
}

async function routers(user: Programs): Promise<void> {
  await user.openstack('router', 'create', 'r');
  await user.openstack('router', 'set', '--external-gateway', 'public', 'r');
  await user.openstack('router', 'add', 'subnet', 'r', 'sub');
  await user.openstack('router', 'add', 'route', '--route', 'destination=10.7.0.0/16,gateway=10.9.0.9', 'r');
  const shown = await user.json('router', 'show', 'r');
  assert.equal(shown.interfaces_info[0].ip_address, '10.9.0.1');
  assert.match(shown.external_gateway_info.external_fixed_ips[0].ip_address, /^198\.1[89]\./);
  assert.equal(shown.routes[0].nexthop, '10.9.0.9');
  const fip = await user.json('floating', 'ip', 'create', '--port', 'named', 'public');
  assert.equal(fip.status, 'ACTIVE');
  assert.match(await user.refused('router', 'remove', 'subnet', 'r', 'sub'), /required by one or more/);
  await user.openstack('floating', 'ip', 'unset', '--port', fip.floating_ip_address);
  const [list, one] = await Promise.all([
    user.json('floating', 'ip', 'list'),
    user.json('floating', 'ip', 'show', fip.floating_ip_address),
  ]);
  assert.deepEqual(column(list, 'Floating IP Address'), [fip.floating_ip_address]);
  assert.equal(one.port_id, null);
  await user.openstack('floating', 'ip', 'set', '--port', 'named', fip.floating_ip_address);
  await user.openstack('floating', 'ip', 'delete', fip.floating_ip_address);
  await user.openstack('router', 'remove', 'route', '--route', 'destination=10.7.0.0/16,gateway=10.9.0.9', 'r');
  await user.openstack('router', 'remove', 'subnet', 'r', 'sub');
  await user.openstack('router', 'unset', '--external-gateway', 'r');
  assert.equal((await user.json('router', 'show', 'r')).external_gateway_info, null);
}

async function administration(admin: Programs): Promise<void> {
  const provider = ['--provider-network-type', 'flat', '--provider-physical-network', 'public'];
  await admin.openstack('network', 'create', '--external', '--share', ...provider, 'out');
  const [out, agents, zones] = await Promise.all([
    admin.json('network', 'show', 'out'),
    admin.json('network', 'agent', 'list'),
    admin.json('availability', 'zone', 'list', '--network'),
    admin.json('ip', 'availability', 'list'),
  ]);
  assert.deepEqual([out['router:external'], out.shared, out['provider:network_type']], [true, true, 'flat']);
  assert.equal(agents.length, 1);
  assert.deepEqual(column(zones, 'Zone Name'), ['nova', 'nova']);
  await admin.openstack('quota', 'set', '--ports', '7', 'demo');
  assert.deepEqual(column(await admin.json('quota', 'list', '--network'), 'Ports'), [7]);
  await admin.openstack('network', 'delete', 'out');
}

async function cleanUp(user: Programs): Promise<void> {
  await user.openstack('port', 'delete', 'named');
  await Promise.all([
    user.openstack('router', 'delete', 'r'),
    user.openstack('subnet', 'delete', 'sub', 'six'),
    user.openstack('security', 'group', 'delete', 'http'),
  ]);
  await user.openstack('network', 'delete', 'net');
  const [networks, subnets, routers, groups, fips, missing] = await Promise.all([
    user.json('network', 'list'),
    user.json('subnet', 'list'),
    user.json('router', 'list'),
    user.json('security', 'group', 'list'),
    user.json('floating', 'ip', 'list'),
    user.refused('network', 'show', 'net'),
  ]);
  assert.deepEqual(column(networks, 'Name'), ['private', 'public']);
  assert.deepEqual(column(subnets, 'Subnet'), ['10.0.0.0/20']);
  assert.deepEqual(column(routers, 'Name'), ['router1']);
  assert.deepEqual([column(groups, 'Name'), fips], [['default'], []]);
  assert.match(missing, /No Network found for net/);
}
