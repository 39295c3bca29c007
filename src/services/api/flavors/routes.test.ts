/** Flavors: their bodies by microversion, who sees private ones, and what administrators change. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ApiHarness, apiHarness, type Caller, PROJECTS } from '../api-harness.ts';

const make = (api: ApiHarness, flavor: object, version = '2.1', who: Caller = 'admin') =>
  api.call(who, 'POST', '/flavors', {
    version,
    body: { flavor: { name: 'tiny', ram: 64, vcpus: 1, disk: 1, ...flavor } },
  });

const ids = async (api: ApiHarness, who: Caller, query = '') => {
  const answer = await api.call(who, 'GET', `/flavors${query}`);
  assert.equal(answer.status, 200, answer.text);
  return answer.body.flavors.map((flavor: { id: string }) => flavor.id);
};

const KEYS = [
  'OS-FLV-DISABLED:disabled',
  'OS-FLV-EXT-DATA:ephemeral',
  'disk',
  'id',
  'links',
  'name',
  'os-flavor-access:is_public',
  'ram',
  'rxtx_factor',
  'swap',
  'vcpus',
];

test('a flavor has exactly the keys of its microversion', async () => {
  await using api = await apiHarness();
  for (const [minor, more] of [
    [1, []],
    [54, []],
    [55, ['description']],
    [60, ['description']],
    [61, ['description', 'extra_specs']],
    [93, ['description', 'extra_specs']],
  ] as const) {
    const version = `2.${minor}`;
    const { flavor } = (await api.call('demo', 'GET', '/flavors/42', { version })).body;
    assert.deepEqual(Object.keys(flavor).toSorted(), [...KEYS, ...more].toSorted(), version);
    const [listed] = (await api.call('demo', 'GET', '/flavors/detail', { version })).body.flavors;
    assert.deepEqual(Object.keys(listed).toSorted(), [...KEYS, ...more].toSorted());
    const [short] = (await api.call('demo', 'GET', '/flavors', { version })).body.flavors;
    const described = minor >= 55 ? ['description'] : [];
    assert.deepEqual(Object.keys(short).toSorted(), [...described, 'id', 'links', 'name']);
    assert.equal(flavor.swap, minor >= 75 ? 0 : '');
  }
});

test('a flavor is made with the id given or a new one, from numbers or their text', async () => {
  await using api = await apiHarness();
  const made = await make(api, { id: 'mine', ram: '128', vcpus: '2', disk: '0', swap: '16', rxtx_factor: '1.5' });
  assert.equal(made.status, 200, made.text);
  const { id, ram, vcpus, disk, swap, rxtx_factor } = made.body.flavor;
  assert.deepEqual(
    { id, ram, vcpus, disk, swap, rxtx_factor },
    { id: 'mine', ram: 128, vcpus: 2, disk: 0, swap: 16, rxtx_factor: 1.5 },
  );
  for (const given of ['auto', null, undefined]) {
    const flavor = { name: `named-${given}`, ...(given !== undefined && { id: given }) };
    assert.match((await make(api, flavor)).body.flavor.id, /^[0-9a-f-]{36}$/);
  }
  assert.equal((await make(api, { name: 'number', id: 7 })).body.flavor.id, '7');
});

test('an id or a name that is taken is 409', async () => {
  await using api = await apiHarness();
  const message = async (flavor: object) => {
    const { status, body } = await make(api, flavor);
    assert.equal(status, 409);
    return body.conflictingRequest.message;
  };
  assert.equal(await message({ id: '42' }), 'Flavor with ID 42 already exists.');
  assert.equal(await message({ name: 'm1.nano' }), 'Flavor with name m1.nano already exists.');
});

test('what is no flavor is refused', async () => {
  await using api = await apiHarness();
  const bad = [
    { ram: 0 },
    { ram: -1 },
    { ram: 'x' },
    { ram: 1.5 },
    { ram: 2 ** 31 },
    { vcpus: 0 },
    { disk: -1 },
    { name: '' },
    { name: ' x' },
    { id: 'a/b' },
    { id: 'a\ud800' },
    { id: ' a' },
    { rxtx_factor: 0 },
    { swap: -1 },
    { 'os-flavor-access:is_public': 'perhaps' },
    { foo: 1 },
    { description: 'too early' },
  ];
  for (const flavor of bad) assert.equal((await make(api, flavor)).status, 400, JSON.stringify(flavor));
  assert.equal((await make(api, { description: 'words' }, '2.55')).status, 200);
});

test('only administrators make, describe and delete flavors', async () => {
  await using api = await apiHarness();
  assert.equal((await make(api, {}, '2.1', 'demo')).status, 403);
  assert.equal((await api.call('demo', 'DELETE', '/flavors/42')).status, 403);
  const body = { flavor: { description: 'new words' } };
  assert.equal(
    (await api.call('admin', 'PUT', '/flavors/42', { version: '2.54', body })).status,
    404,
    'there is no such route',
  );
  const changed = await api.call('admin', 'PUT', '/flavors/42', { version: '2.55', body });
  assert.equal(changed.body.flavor.description, 'new words');
  assert.equal((await api.call('demo', 'PUT', '/flavors/42', { version: '2.55', body })).status, 403);
  assert.equal((await api.call('admin', 'DELETE', '/flavors/42')).status, 202);
  const gone = await api.call('admin', 'DELETE', '/flavors/42');
  assert.deepEqual([gone.status, gone.body.itemNotFound.message], [404, 'Flavor 42 could not be found.']);
});

test('a private flavor is seen by administrators who ask, and by the projects that were let in', async () => {
  await using api = await apiHarness();
  await make(api, { id: 'secret', name: 'secret', 'os-flavor-access:is_public': false });
  const access = (action: string, tenant: string) =>
    api.call('admin', 'POST', '/flavors/secret/action', { body: { [action]: { tenant } } });
  const sees = async (who: Caller, query = '') => (await ids(api, who, query)).includes('secret');
  assert.equal(await sees('demo'), false);
  assert.equal((await api.call('demo', 'GET', '/flavors/secret')).status, 404);
  assert.equal((await api.call('demo', 'GET', '/flavors/secret/os-extra_specs')).status, 404);
  assert.equal(await sees('admin'), false);
  assert.equal(await sees('admin', '?is_public=None'), true);
  assert.deepEqual(await ids(api, 'admin', '?is_public=false'), ['secret']);
  assert.equal(await sees('demo', '?is_public=None'), false, 'the question is not theirs to ask');

  const granted = await access('addTenantAccess', PROJECTS.demo);
  assert.deepEqual(granted.body.flavor_access, [{ flavor_id: 'secret', tenant_id: PROJECTS.demo }]);
  assert.equal((await access('addTenantAccess', PROJECTS.demo)).status, 409);
  assert.equal(await sees('demo'), true);
  assert.equal(await sees('other'), false);
  assert.equal((await access('removeTenantAccess', PROJECTS.demo)).status, 200);
  assert.equal((await access('removeTenantAccess', PROJECTS.demo)).status, 404);
  assert.equal(await sees('demo'), false);
  assert.equal((await api.call('admin', 'GET', '/flavors/42/os-flavor-access')).status, 404);
});

test('lists are filtered, sorted and come in pages', async () => {
  await using api = await apiHarness();
  assert.deepEqual(await ids(api, 'demo'), ['1', '2', '3', '4', '42', '5', '84']);
  assert.deepEqual(await ids(api, 'demo', '?minRam=4096'), ['3', '4', '5']);
  assert.deepEqual(await ids(api, 'demo', '?minDisk=100'), ['5']);
  assert.deepEqual(await ids(api, 'demo', '?sort_key=memory_mb&sort_dir=desc&limit=2'), ['5', '4']);
  const seen: string[] = [];
  for (let url: string | undefined = '/flavors?limit=3'; url; ) {
    const { body } = await api.call('demo', 'GET', url);
    seen.push(...body.flavors.map((flavor: { id: string }) => flavor.id));
    url = body.flavors_links?.[0].href.slice('http://cloud.example/compute/v2.1'.length);
  }
  assert.deepEqual(seen, ['1', '2', '3', '4', '42', '5', '84']);
  for (const query of ['limit=-1', 'marker=none', 'minRam=x', 'sort_key=constructor', 'sort_dir=up', 'is_public=x'])
    assert.equal((await api.call('admin', 'GET', `/flavors?${query}`)).status, 400, query);
});

test('extra specs are added, changed and taken away one by one', async () => {
  await using api = await apiHarness();
  const path = '/flavors/42/os-extra_specs';
  const body = { extra_specs: { 'hw:cpu_policy': 'shared', count: 2 } };
  assert.equal((await api.call('demo', 'POST', path, { body })).status, 403);
  const added = await api.call('admin', 'POST', path, { body });
  assert.deepEqual(added.body, { extra_specs: { 'hw:cpu_policy': 'shared', count: '2' } });
  assert.deepEqual((await api.call('demo', 'GET', `${path}/count`)).body, { count: '2' });
  assert.equal((await api.call('admin', 'PUT', `${path}/count`, { body: { other: '3' } })).status, 400);
  assert.equal((await api.call('admin', 'PUT', `${path}/count`, { body: { count: '3' } })).status, 200);
  assert.equal((await api.call('admin', 'DELETE', `${path}/count`)).status, 200);
  assert.equal((await api.call('admin', 'DELETE', `${path}/count`)).status, 404);
  assert.deepEqual((await api.call('demo', 'GET', path)).body, { extra_specs: { 'hw:cpu_policy': 'shared' } });
  for (const bad of [{ 'a/b': '1' }, { a: null }, { a: {} }, { a: 'x'.repeat(256) }])
    assert.equal((await api.call('admin', 'POST', path, { body: { extra_specs: bad } })).status, 400);
});
