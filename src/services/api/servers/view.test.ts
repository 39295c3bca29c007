/** The keys of a server's body by microversion and viewer: exactly these, since Tempest refuses any other. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiHarness } from '../api-harness.ts';

const EVERYONE = [
  'OS-DCF:diskConfig',
  'OS-EXT-AZ:availability_zone',
  'OS-EXT-STS:power_state',
  'OS-EXT-STS:task_state',
  'OS-EXT-STS:vm_state',
  'OS-SRV-USG:launched_at',
  'OS-SRV-USG:terminated_at',
  'accessIPv4',
  'accessIPv6',
  'addresses',
  'config_drive',
  'created',
  'flavor',
  'hostId',
  'id',
  'image',
  'key_name',
  'links',
  'metadata',
  'name',
  'os-extended-volumes:volumes_attached',
  'progress',
  'status',
  'tenant_id',
  'updated',
  'user_id',
];
const ADMIN = ['OS-EXT-SRV-ATTR:host', 'OS-EXT-SRV-ATTR:hypervisor_hostname', 'OS-EXT-SRV-ATTR:instance_name'];
const ADMIN_FROM_3 = [
  'OS-EXT-SRV-ATTR:kernel_id',
  'OS-EXT-SRV-ATTR:launch_index',
  'OS-EXT-SRV-ATTR:ramdisk_id',
  'OS-EXT-SRV-ATTR:reservation_id',
  'OS-EXT-SRV-ATTR:root_device_name',
  'OS-EXT-SRV-ATTR:user_data',
];

/** From which minor on everybody, or an administrator, sees a key. */
const LATER: readonly { key: string; from: number; who?: 'admin'; only?: 'single' }[] = [
  { key: 'locked', from: 9 },
  { key: 'host_status', from: 16, who: 'admin' },
  { key: 'description', from: 19 },
  { key: 'tags', from: 26 },
  { key: 'trusted_image_certificates', from: 63 },
  { key: 'server_groups', from: 71, only: 'single' },
  { key: 'locked_reason', from: 73 },
];

function expected(minor: number, isAdmin: boolean, single: boolean): string[] {
  const hostnameIsShown = minor >= 90 || (minor >= 3 && isAdmin);
  return [
    ...EVERYONE,
    ...(isAdmin ? ADMIN : []),
    ...(isAdmin && minor >= 3 ? ADMIN_FROM_3 : []),
    ...(hostnameIsShown ? ['OS-EXT-SRV-ATTR:hostname'] : []),
    ...LATER.filter(({ from, who, only }) => minor >= from && (!who || isAdmin) && (!only || single)).map(
      ({ key }) => key,
    ),
  ].toSorted();
}

const EDGES = [1, 2, 3, 8, 9, 15, 16, 18, 19, 25, 26, 46, 47, 62, 63, 70, 71, 72, 73, 74, 75, 89, 90, 93];

test('a server has exactly the keys of its microversion, for members and administrators, alone and in lists', async () => {
  await using api = await apiHarness();
  const id = await api.add();
  for (const minor of EDGES) {
    for (const who of ['demo', 'admin'] as const) {
      const version = `2.${minor}`;
      const one = (await api.call(who, 'GET', `/servers/${id}`, { version })).body.server;
      assert.deepEqual(Object.keys(one).toSorted(), expected(minor, who === 'admin', true), `${version} ${who}`);
      const query = who === 'admin' ? '?all_tenants=1' : '';
      const listed = (await api.call(who, 'GET', `/servers/detail${query}`, { version })).body.servers[0];
      assert.deepEqual(
        Object.keys(listed).toSorted(),
        expected(minor, who === 'admin', false),
        `${version} ${who} list`,
      );
    }
  }
});

test('the flavor is a link until 2.46 and embedded from 2.47', async () => {
  await using api = await apiHarness();
  const id = await api.add();
  const flavor = async (version: string) =>
    (await api.call('demo', 'GET', `/servers/${id}`, { version })).body.server.flavor;
  const link = { rel: 'bookmark', href: 'http://cloud.example/compute/flavors/42' };
  assert.deepEqual(await flavor('2.46'), { id: '42', links: [link] });
  const embedded = { vcpus: 1, ram: 128, disk: 1, ephemeral: 0, swap: 0, original_name: 'm1.nano', extra_specs: {} };
  assert.deepEqual(await flavor('2.47'), embedded);
});

test('values have the forms that clients parse', async () => {
  await using api = await apiHarness();
  const id = await api.add();
  const mac = await api.join(id, await api.addNetwork('private', '10.0.0.5/32'));
  const { server } = (await api.call('demo', 'GET', `/servers/${id}`)).body;
  assert.match(server.created, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assert.match(server['OS-SRV-USG:launched_at'], /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/);
  assert.match(server.hostId, /^[0-9a-f]{56}$/);
  assert.equal(server.config_drive, 'True');
  assert.deepEqual(server.links, [
    { rel: 'self', href: `http://cloud.example/compute/v2.1/servers/${server.id}` },
    { rel: 'bookmark', href: `http://cloud.example/compute/servers/${server.id}` },
  ]);
  assert.deepEqual(server.addresses, {
    private: [{ version: 4, addr: '10.0.0.5', 'OS-EXT-IPS:type': 'fixed', 'OS-EXT-IPS-MAC:mac_addr': mac }],
  });
  assert.deepEqual(server.security_groups, [{ name: 'default' }]);
  const listed = (await api.call('demo', 'GET', '/servers/detail')).body.servers[0];
  assert.deepEqual([listed.addresses, listed.security_groups], [server.addresses, server.security_groups]);
});

test('hostId is one for the servers of a project on a host, and empty before there is a host', async () => {
  await using api = await apiHarness();
  const hostId = async (columns: object) =>
    (await api.call('admin', 'GET', `/servers/${await api.add(columns)}`)).body.server.hostId;
  assert.equal(await hostId({}), await hostId({}));
  assert.notEqual(await hostId({}), await hostId({ host: 'host-2' }));
  assert.notEqual(await hostId({}), await hostId({ project_id: 'x' }));
  assert.equal(await hostId({ host: null }), '');
});

test('progress is shown only in states that make progress, a fault only in ERROR, its details to administrators', async () => {
  await using api = await apiHarness();
  const fault = JSON.stringify({ code: 500, message: 'No valid host was found.', created: 0 });
  const id = await api.add({ vm_state: 'error', fault });
  const shown = async (who: 'demo' | 'admin', each = id) =>
    (await api.call(who, 'GET', `/servers/${each}`)).body.server;
  const common = { code: 500, message: 'No valid host was found.', created: '1970-01-01T00:00:00Z' };
  assert.deepEqual((await shown('demo')).fault, common);
  assert.deepEqual((await shown('admin')).fault, { ...common, details: 'No valid host was found.' });
  assert.equal('progress' in (await shown('demo')), false);
  assert.equal('fault' in (await shown('demo', await api.add({ fault }))), false);
  assert.equal('progress' in (await shown('demo', await api.add({ vm_state: 'stopped' }))), false);
});

test('an update answers a short body until 2.74 and the full one from 2.75', async () => {
  await using api = await apiHarness();
  const id = await api.add();
  const mac = await api.join(id, await api.addNetwork('private', '10.0.0.5/32'));
  const keys = async (version: string) => {
    const answer = await api.call('demo', 'PUT', `/servers/${id}`, { version, body: { server: { name: 'renamed' } } });
    assert.equal(answer.status, 200);
    const { server } = answer.body;
    assert.equal(server.name, 'renamed');
    const full = version === '2.75' ? { 'OS-EXT-IPS:type': 'fixed', 'OS-EXT-IPS-MAC:mac_addr': mac } : {};
    assert.deepEqual(server.addresses, { private: [{ version: 4, addr: '10.0.0.5', ...full }] });
    return Object.keys(answer.body.server).toSorted();
  };
  const short = EVERYONE.filter((key) => !/^(OS-EXT-|OS-SRV-|os-ext|config_drive|key_name)/.test(key));
  assert.deepEqual(await keys('2.1'), short);
  assert.deepEqual(await keys('2.75'), [...expected(75, false, true), 'security_groups'].toSorted());
});
