/** Servers and their networks with the unchanged `openstack` command: what `server create`, `add` and `remove` know of them. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { type TestCloud, testCloud } from '../cloud.ts';
import { needClients, Programs } from './programs.ts';

type Addresses = Readonly<Record<string, readonly string[]>>;

describe('the openstack command gives servers networks, ports, addresses and groups', { timeout: 240_000 }, () => {
  before(needClients);

  test('as it launches them', async () => {
    await using cloud = await testCloud({ driver: 'fake' });
    const user = await world(cloud);
    const [image, flavor] = [await cloud.image(), 'm1.micro'];
    const create = (name: string, ...options: string[]) =>
      // `none` is of 2.37.
      user.json(
        ...['--os-compute-api-version', '2.37', 'server', 'create', '--image', image, '--flavor', flavor],
        ...options,
        '--wait',
        name,
      );
    await user.openstack('port', 'create', '--network', 'web', '--fixed-ip', 'ip-address=10.9.0.40', 'held');
    await user.openstack('port', 'create', '--network', 'web', '--fixed-ip', 'ip-address=10.9.0.41', 'kept');
    const [named, addressed, two, ports, none] = await Promise.all([
      create('named', '--network', 'web', '--security-group', 'http'),
      create('addressed', '--nic', `net-id=${await idOf(cloud, 'networks?name=web')},v4-fixed-ip=10.9.0.77`),
      create('two', '--network', 'web', '--network', 'private'),
      create('ports', '--nic', `port-id=${await idOf(cloud, 'ports?name=held')}`, '--port', 'kept'),
      create('none', '--nic', 'none'),
    ]);
    assert.match(addressesOf(named).web?.[0] ?? '', /^10\.9\.0\./);
    assert.deepEqual(named.security_groups, [{ name: 'http' }]);
    assert.deepEqual(addressesOf(addressed), { web: ['10.9.0.77'] });
    assert.deepEqual(Object.keys(addressesOf(two)).toSorted(), ['private', 'web']);
    assert.deepEqual(addressesOf(ports).web?.toSorted(), ['10.9.0.40', '10.9.0.41']);
    assert.deepEqual(addressesOf(none), {});
    await user.openstack('server', 'delete', '--wait', 'named', 'addressed', 'two', 'ports', 'none');
    // What was there before the server stays.
    const left = await user.json('port', 'list', '--network', 'web', '--device-owner', '');
    assert.deepEqual(column(left, 'Name'), ['held', 'kept']);
  });

  test('as they run', async () => {
    await using cloud = await testCloud({ driver: 'fake' });
    const user = await world(cloud);
    await cloud.server({ name: 'box' }).active();
    const shown = async () => addressesOf(await user.json('server', 'show', 'box'));
    const [inside] = (await shown()).private ?? [];
    const [, floating] = await Promise.all([
      user.openstack('port', 'create', '--network', 'web', '--fixed-ip', 'ip-address=10.9.0.50', 'extra'),
      user.json('floating', 'ip', 'create', 'public'),
    ]);

    await user.openstack('server', 'add', 'port', 'box', 'extra');
    assert.deepEqual(await shown(), { private: [inside], web: ['10.9.0.50'] });
    await user.openstack('server', 'remove', 'port', 'box', 'extra');
    await user.openstack('server', 'add', 'network', 'box', 'web');
    assert.equal((await shown()).web?.length, 1);
    await user.openstack('server', 'remove', 'network', 'box', 'web');
    assert.deepEqual(await shown(), { private: [inside] });
    await user.openstack('server', 'add', 'fixed', 'ip', '--fixed-ip-address', '10.9.0.60', 'box', 'web');
    assert.deepEqual((await shown()).web, ['10.9.0.60']);
    // This version's `server remove fixed ip` calls what its library has no more; newer ones do this.
    await user.python(REMOVE_FIXED_IP, 'box', '10.9.0.60');
    // The port stays.
    assert.deepEqual(await shown(), { private: [inside], web: [] });

    const outside = floating.floating_ip_address;
    await user.openstack('server', 'add', 'floating', 'ip', '--fixed-ip-address', inside ?? '', 'box', outside);
    assert.deepEqual((await shown()).private, [inside, outside]);
    await user.openstack('server', 'remove', 'floating', 'ip', 'box', outside);
    assert.deepEqual((await shown()).private, [inside]);

    await user.openstack('server', 'add', 'security', 'group', 'box', 'http');
    const both = (await user.json('server', 'show', 'box')).security_groups;
    assert.deepEqual(column(both, 'name'), ['default', 'http']);
    await user.openstack('server', 'remove', 'security', 'group', 'box', 'http');
    assert.deepEqual((await user.json('server', 'show', 'box')).security_groups, [{ name: 'default' }]);
  });
});

const REMOVE_FIXED_IP = `
import openstack, sys
compute = openstack.connect().compute
compute.remove_fixed_ip_from_server(compute.find_server(sys.argv[1]), sys.argv[2])
`;

/** The network `web` and the group `http` beside what a new cloud has. */
async function world(cloud: TestCloud): Promise<Programs> {
  const demo = await cloud.as('demo');
  const make = (path: string, json: object) => demo.ok('POST', `/network/v2.0/${path}`, { json });
  await make('networks', { network: { name: 'web' } });
  const network_id = await idOf(cloud, 'networks?name=web');
  await make('subnets', { subnet: { network_id, ip_version: 4, cidr: '10.9.0.0/24' } });
  await make('security-groups', { security_group: { name: 'http' } });
  return new Programs(cloud.data, 'micronova');
}

async function idOf(cloud: TestCloud, path: string): Promise<string> {
  const found = await (await cloud.as('demo')).ok<Record<string, { id: string }[]>>('GET', `/network/v2.0/${path}`);
  return Object.values(found)[0]?.[0]?.id ?? '';
}

const addressesOf = (server: { readonly addresses: Addresses }): Addresses => server.addresses;

const column = (rows: readonly Readonly<Record<string, unknown>>[], name: string) =>
  rows.map((row) => row[name]).toSorted();
