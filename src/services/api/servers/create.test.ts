/** Launch requests: what is accepted, what it answers, and the words with which everything else is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ApiHarness, apiHarness, aTurn, type Caller, IMAGE, imageRecord, PROJECTS } from '../api-harness.ts';

interface Wish {
  readonly who?: Caller;
  readonly version?: string;
  readonly beside?: object;
}

const launch = (api: ApiHarness, server: object, { who = 'demo', version = '2.1', beside = {} }: Wish = {}) =>
  api.call(who, 'POST', '/servers', {
    version,
    body: { server: { name: 'web', imageRef: IMAGE, flavorRef: '42', ...server }, ...beside },
  });

/** `[status, message]` of a refusal. */
async function refusal(api: ApiHarness, server: object, wish: Wish = {}): Promise<[number, string]> {
  const { status, body } = await launch(api, server, wish);
  const [fault] = Object.values(body as Record<string, { message: string }>);
  return [status, fault?.message ?? ''];
}

const count = async (api: ApiHarness) => (await api.db.queries.selectFrom('servers').select('id').execute()).length;

test('a launch is answered with id, links, disk config, groups, password and Location', async () => {
  await using api = await apiHarness();
  const { status, headers, body } = await launch(api, {});
  assert.equal(status, 202);
  assert.deepEqual(Object.keys(body.server).toSorted(), [
    'OS-DCF:diskConfig',
    'adminPass',
    'id',
    'links',
    'security_groups',
  ]);
  assert.equal(headers.location, `http://cloud.example/compute/v2.1/servers/${body.server.id}`);
  assert.match(body.server.adminPass, /^[2-9A-HJ-NP-Za-km-np-z]{12}$/);
  const shown = (await api.call('demo', 'GET', `/servers/${body.server.id}`)).body.server;
  assert.deepEqual([shown.status, shown['OS-EXT-STS:task_state'], shown.hostId], ['BUILD', 'scheduling', '']);
});

test('several servers are named by their number, one is not', async () => {
  await using api = await apiHarness();
  const names = async (wish: object) => {
    const reservation = await launch(api, { return_reservation_id: true, ...wish });
    const id = reservation.body.reservation_id;
    assert.match(id, /^r-[0-9a-z]{8}$/);
    assert.deepEqual(Object.keys(reservation.body), ['reservation_id']);
    const { servers } = (await api.call('demo', 'GET', `/servers?reservation_id=${id}`)).body;
    return servers.map((server: { name: string }) => server.name).toSorted();
  };
  assert.deepEqual(await names({ min_count: 1 }), ['web']);
  assert.deepEqual(await names({ min_count: '2' }), ['web-1', 'web-2']);
  assert.deepEqual(await names({ max_count: 3 }), ['web-1', 'web-2', 'web-3']);
});

test('between min_count and max_count as many are launched as the quota allows', async () => {
  await using api = await apiHarness({ instances: 3 });
  assert.equal((await launch(api, { min_count: 1, max_count: 5 })).status, 202);
  assert.equal(await count(api), 3);
  assert.deepEqual(await refusal(api, {}), [
    403,
    'Quota exceeded for instances: Requested 1, but already used 3 of 3 instances',
  ]);
  assert.equal((await launch(api, {}, { who: 'admin' })).status, 202, 'another project has its own quota');
  assert.deepEqual(await refusal(api, { min_count: 3, max_count: 2 }), [400, 'min_count must be <= max_count']);
});

test('requests at the same moment do not share the last free place', async () => {
  await using api = await apiHarness({ instances: 3 });
  api.beforeTransaction = aTurn;
  const answers = await Promise.all(Array.from({ length: 8 }, () => launch(api, {})));
  assert.deepEqual(answers.map(({ status }) => status).toSorted(), [202, 202, 202, 403, 403, 403, 403, 403]);
  assert.equal(await count(api), 3);
});

test('cores, memory and metadata have quotas too', async () => {
  await using api = await apiHarness({ cores: 3, ramMib: 5000 });
  assert.match((await refusal(api, { flavorRef: '4' }))[1], /^Quota exceeded for cores: Requested 4, /);
  assert.match((await refusal(api, { min_count: 3, flavorRef: '2' }))[1], /^Quota exceeded for ram: Requested 6144, /);
  const metadata = Object.fromEntries(Array.from({ length: 129 }, (_, index) => [`key${index}`, 'x']));
  const [status, message] = await refusal(api, { metadata });
  assert.equal(status, 403);
  assert.match(message, /metadata/);
  assert.equal(await count(api), 0);
});

test('images and flavors that do not fit are refused in the words that clients know', async () => {
  await using api = await apiHarness();
  const image = async (fields: object, server: object = {}) => {
    const id = '22222222-2222-4222-8222-222222222222';
    api.images.set(id, imageRecord({ id, ...fields }));
    return refusal(api, { imageRef: id, ...server });
  };
  assert.deepEqual(await image({ min_ram: 512 }), [400, "Flavor's memory is too small for requested image."]);
  assert.deepEqual(await image({ min_disk: 2 }), [
    400,
    "Flavor's disk is too small for requested image. Flavor disk is 1073741824 bytes, image is 2147483648 bytes.",
  ]);
  assert.match((await image({ virtual_size: 2 ** 31 }))[1], /^Flavor's disk is too small/);
  assert.match((await image({ status: 'queued' }))[1], /is not active/);
  const unknown = '33333333-3333-4333-8333-333333333333';
  assert.deepEqual(await refusal(api, { imageRef: unknown }), [400, `Image ${unknown} could not be found.`]);
  assert.deepEqual(await refusal(api, { flavorRef: 'none' }), [400, 'Flavor none could not be found.']);
  assert.equal((await refusal(api, { imageRef: '' }))[0], 400);
});

test('user data must be base64 of at most 65535 characters', async () => {
  await using api = await apiHarness();
  assert.equal((await launch(api, { user_data: 'IyEvYmluL3No' })).status, 202);
  assert.equal((await launch(api, { user_data: 'IyEvYmlu\nL3No\n' })).status, 202);
  assert.deepEqual(await refusal(api, { user_data: 'not base64!' }), [400, 'User data needs to be valid base 64.']);
  assert.equal((await refusal(api, { user_data: 'abc' }))[0], 400);
  assert.match((await refusal(api, { user_data: 'A'.repeat(65_536) }))[1], /user_data.* is too long/s);
});

test('keys that a microversion does not have are refused', async () => {
  await using api = await apiHarness();
  const later: readonly [string, unknown, number][] = [
    ['description', 'words', 19],
    ['tags', ['one'], 52],
    ['hostname', 'host', 90],
  ];
  for (const [key, value, from] of later) {
    const at = (minor: number) => ({ version: `2.${minor}` });
    const networks = (minor: number) => (minor >= 37 ? { networks: 'none' } : {});
    const before = await refusal(api, { [key]: value, ...networks(from - 1) }, at(from - 1));
    assert.equal(before[0], 400, key);
    assert.match(before[1], new RegExp(`Additional properties are not allowed \\('${key}' was unexpected\\)`));
    assert.equal((await launch(api, { [key]: value, ...networks(from) }, at(from))).status, 202, key);
  }
  assert.equal((await launch(api, { networks: 'auto' }, { version: '2.36' })).status, 400);
  assert.equal((await launch(api, { networks: 'auto' }, { version: '2.37' })).status, 202);
  assert.match((await refusal(api, {}, { version: '2.37' }))[1], /'networks' is a required property/);
  assert.equal((await launch(api, { personality: [] }, { version: '2.56', beside: {} })).status, 400);
});

test('names, references and counts are checked', async () => {
  await using api = await apiHarness();
  const bad = [
    { name: '' },
    { name: ' web' },
    { name: 'a\u0000b' },
    { name: 'x'.repeat(256) },
    { name: 1 },
    { imageRef: 'x' },
    { flavorRef: [] },
    { min_count: 0 },
    { min_count: 'x' },
    { metadata: { 'a/b': 'x' } },
    { metadata: { a: 1 } },
    { metadata: { a: 'x'.repeat(256) } },
    { accessIPv4: '300.1.1.1' },
    { config_drive: 'maybe' },
    { 'OS-DCF:diskConfig': 'auto' },
    { security_groups: [{ name: 'unknown' }] },
    { key_name: 'unknown' },
    { networks: [{ uuid: '33333333-3333-4333-8333-333333333333' }] },
    { availability_zone: 'a:b:c:d' },
    { block_device_mapping_v2: [{ source_type: 'volume', uuid: IMAGE, boot_index: 0 }] },
  ];
  for (const server of bad) assert.equal((await launch(api, server)).status, 400, JSON.stringify(server).slice(0, 80));
  assert.equal(await count(api), 0);
});

test('only administrators force a host, and readers launch nothing', async () => {
  await using api = await apiHarness();
  assert.deepEqual(await refusal(api, { availability_zone: 'nova:host-1' }), [
    403,
    "Policy doesn't allow os_compute_api:servers:create:forced_host to be performed.",
  ]);
  assert.equal((await launch(api, { availability_zone: 'nova:host-1' }, { who: 'admin' })).status, 202);
  assert.equal((await launch(api, {}, { who: 'reader' })).status, 403);
  assert.equal((await launch(api, {}, { who: 'nobody' })).status, 401);
});

test('the image as a block device, as the openstack command sends it, is the image', async () => {
  await using api = await apiHarness();
  const device = { uuid: IMAGE, source_type: 'image', destination_type: 'local', boot_index: 0 };
  const wish = { imageRef: '', block_device_mapping_v2: [{ ...device, delete_on_termination: true }] };
  assert.equal((await launch(api, wish)).status, 202);
});

test('another project may not boot a private flavor until it is let in', async () => {
  await using api = await apiHarness();
  const flavor = { id: 'secret', name: 'secret', ram: 64, vcpus: 1, disk: 1, 'os-flavor-access:is_public': false };
  assert.equal((await api.call('admin', 'POST', '/flavors', { body: { flavor } })).status, 200);
  assert.equal((await launch(api, { flavorRef: 'secret' })).status, 400);
  const body = { addTenantAccess: { tenant: PROJECTS.demo } };
  assert.equal((await api.call('admin', 'POST', '/flavors/secret/action', { body })).status, 200);
  assert.equal((await launch(api, { flavorRef: 'secret' })).status, 202);
});

test('version 2.0 ignores what it does not know, and microversions', async () => {
  await using api = await apiHarness();
  const response = await api.server.inject({
    method: 'POST',
    url: `/compute/v2/${PROJECTS.demo}/servers`,
    headers: { 'x-auth-token': 'demo', 'content-type': 'application/json', 'openstack-api-version': 'compute 2.53' },
    payload: JSON.stringify({
      server: { name: 'web', imageRef: IMAGE, flavorRef: '42', foo: 1, networks: [{ bar: 1 }] },
      x: 1,
    }),
  });
  assert.equal(response.statusCode, 400, 'a network without uuid is no network');
  const ok = await api.server.inject({
    method: 'POST',
    url: '/compute/v2/servers',
    headers: { 'x-auth-token': 'demo', 'content-type': 'application/json' },
    payload: JSON.stringify({ server: { name: 'web', imageRef: IMAGE, flavorRef: '42', foo: 1 }, x: 1 }),
  });
  assert.equal(ok.statusCode, 202, ok.body);
  assert.equal(ok.headers['openstack-api-version'], undefined);
});

test('an IPv6 address is kept in its one spelling', async () => {
  await using api = await apiHarness();
  const { body } = await launch(api, { accessIPv6: '0000:0000:0000:0000:0000:babe:220.12.22.2' });
  const shown = (await api.call('demo', 'GET', `/servers/${body.server.id}`)).body.server;
  assert.equal(shown.accessIPv6, '::babe:dc0c:1602');
});

test('hints and extra specs reach the scheduler: servers to be apart from and with, one or several', async () => {
  await using api = await apiHarness();
  await api.call('admin', 'POST', '/flavors/42/os-extra_specs', {
    body: { extra_specs: { 'capabilities:host': 'x' } },
  });
  const [one, two] = ['11111111-1111-4111-8111-111111111111', '22222222-2222-4222-8222-222222222222'];
  const beside = { 'os:scheduler_hints': { different_host: [one, two], same_host: two, query: '[">=",1]' } };
  assert.equal((await launch(api, {}, { beside })).status, 202);
  const { input } = await api.db.queries.selectFrom('operations').select('input').executeTakeFirstOrThrow();
  const { differentHost, sameHost, extraSpecs } = JSON.parse(input);
  assert.deepEqual([differentHost, sameHost, extraSpecs], [[one, two], [two], { 'capabilities:host': 'x' }]);
  for (const hints of [{ different_host: 'x' }, { same_host: [] }, { same_host: [one, one] }])
    assert.equal((await launch(api, {}, { beside: { 'os:scheduler_hints': hints } })).status, 400);
});
