/** Aggregates: their keys, names that are taken, hosts that come and go, metadata, and zones that hosts in use keep. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ApiHarness, apiHarness, IMAGE } from '../api-harness.ts';
import { addAllocation, addHost } from '../hosts-harness.ts';

async function cloud(): Promise<ApiHarness> {
  const api = await apiHarness();
  for (const name of ['one', 'two']) await addHost(api.db, { name }, api.clock);
  return api;
}

const make = (api: ApiHarness, aggregate: object, version = '2.1') =>
  api.call('admin', 'POST', '/os-aggregates', { version, body: { aggregate } });

const act = (api: ApiHarness, id: number, body: object) =>
  api.call('admin', 'POST', `/os-aggregates/${id}/action`, { body });

const show = async (api: ApiHarness, id: number, version = '2.1') =>
  (await api.call('admin', 'GET', `/os-aggregates/${id}`, { version })).body.aggregate;

const zones = async (api: ApiHarness) => {
  const { body } = await api.call('admin', 'GET', '/os-availability-zone/detail');
  return Object.fromEntries(
    body.availabilityZoneInfo.map((zone: { zoneName: string; hosts: object }) => [
      zone.zoneName,
      Object.keys(zone.hosts).toSorted(),
    ]),
  );
};

test('an aggregate has exactly the keys of its microversion; its id is a number', async () => {
  await using api = await cloud();
  const made = await make(api, { name: 'ssd' });
  assert.equal(made.status, 200, made.text);
  const fresh = {
    id: 1,
    name: 'ssd',
    availability_zone: null,
    created_at: '2026-01-02T03:04:05.000000',
    updated_at: null,
    deleted: false,
    deleted_at: null,
  };
  assert.deepEqual(made.body.aggregate, fresh);
  assert.deepEqual(await show(api, 1), { ...fresh, hosts: [], metadata: {} });
  assert.match((await show(api, 1, '2.41')).uuid, /^[0-9a-f-]{36}$/);
  const { body } = await api.call('admin', 'GET', '/os-aggregates');
  assert.deepEqual(body.aggregates, [await show(api, 1)]);
});

test('names are taken once; an aggregate with hosts is not deleted', async () => {
  await using api = await cloud();
  await make(api, { name: 'ssd' });
  const again = await make(api, { name: 'ssd' });
  assert.deepEqual([again.status, again.body.conflictingRequest.message], [409, 'Aggregate ssd already exists.']);
  await make(api, { name: 'gpu' });
  const put = (id: number, aggregate: object) =>
    api.call('admin', 'PUT', `/os-aggregates/${id}`, { body: { aggregate } });
  assert.equal((await put(2, { name: 'ssd' })).status, 409);
  const renamed = await put(2, { name: 'gpus' });
  assert.equal(renamed.body.aggregate.name, 'gpus');
  assert.notEqual(renamed.body.aggregate.updated_at, null);
  await act(api, 2, { add_host: { host: 'one' } });
  const remove = async () => (await api.call('admin', 'DELETE', '/os-aggregates/2')).status;
  assert.equal(await remove(), 400);
  await act(api, 2, { remove_host: { host: 'one' } });
  assert.equal(await remove(), 200);
  assert.equal(await remove(), 404);
  for (const bad of [{}, { name: '' }, { name: 'x', foo: 1 }, { name: 'x', availability_zone: 'a:b' }])
    assert.equal((await make(api, bad)).status, 400, JSON.stringify(bad));
  assert.equal((await put(1, {})).status, 400);
  assert.equal((await api.call('demo', 'GET', '/os-aggregates')).status, 403);
});

test('hosts are added and removed, metadata is set key by key', async () => {
  await using api = await cloud();
  await make(api, { name: 'ssd' });
  const added = await act(api, 1, { add_host: { host: 'one' } });
  assert.deepEqual([added.status, added.body.aggregate.hosts], [200, ['one']]);
  assert.equal((await act(api, 1, { add_host: { host: 'one' } })).status, 409);
  assert.equal((await act(api, 1, { add_host: { host: 'none' } })).status, 404);
  assert.equal((await act(api, 1, { remove_host: { host: 'two' } })).status, 404);
  assert.equal((await act(api, 9, { add_host: { host: 'two' } })).status, 404);
  await act(api, 1, { set_metadata: { metadata: { ssd: 'true', size: 'l' } } });
  const changed = await act(api, 1, { set_metadata: { metadata: { size: null } } });
  assert.deepEqual(changed.body.aggregate.metadata, { ssd: 'true' });
  assert.equal((await act(api, 1, { explode: {} })).status, 400);
  assert.equal((await act(api, 1, { set_metadata: { metadata: { size: 1 } } })).status, 400);
});

test('a zone of an aggregate is the zone of its hosts, everywhere', async () => {
  await using api = await cloud();
  assert.deepEqual(await zones(api), { nova: ['one', 'two'] });
  const made = await make(api, { name: 'west', availability_zone: 'west' });
  assert.equal(made.body.aggregate.availability_zone, 'west');
  await act(api, 1, { add_host: { host: 'one' } });
  assert.deepEqual(await zones(api), { west: ['one'], nova: ['two'] });
  const { body } = await api.call('admin', 'GET', '/os-services?host=one');
  assert.equal(body.services[0].zone, 'west');
  await api.call('admin', 'PUT', '/os-aggregates/1', { body: { aggregate: { availability_zone: 'east' } } });
  assert.deepEqual(await zones(api), { east: ['one'], nova: ['two'] });
  assert.deepEqual((await show(api, 1)).metadata, { availability_zone: 'east' });
  await act(api, 1, { set_metadata: { metadata: { availability_zone: null } } });
  assert.deepEqual(await zones(api), { nova: ['one', 'two'] });

  await act(api, 1, { set_metadata: { metadata: { availability_zone: 'west' } } });
  await make(api, { name: 'other', availability_zone: 'south' });
  const second = await act(api, 2, { add_host: { host: 'one' } });
  assert.equal(second.status, 409, 'a host is in one zone');
  assert.deepEqual((await show(api, 2)).hosts, []);
});

test('a host in use keeps its zone; what does not change the zone is allowed', async () => {
  await using api = await cloud();
  await make(api, { name: 'west', availability_zone: 'west' });
  await make(api, { name: 'plain' });
  const server = await api.add({ host: 'one' });
  const refused = await act(api, 1, { add_host: { host: 'one' } });
  assert.deepEqual(
    [refused.status, refused.body.conflictingRequest.message],
    [409, 'Cannot add host to aggregate 1. Reason: One or more hosts contain instances in this zone.'],
  );
  assert.equal((await act(api, 2, { add_host: { host: 'one' } })).status, 200);
  assert.equal((await act(api, 2, { set_metadata: { metadata: { availability_zone: 'west' } } })).status, 400);
  assert.equal((await act(api, 2, { set_metadata: { metadata: { availability_zone: 'nova' } } })).status, 200);
  assert.equal((await act(api, 2, { remove_host: { host: 'one' } })).status, 200, 'its own zone has the same name');
  await act(api, 1, { add_host: { host: 'two' } });
  await addAllocation(api.db, server, 'two');
  assert.equal((await act(api, 1, { remove_host: { host: 'two' } })).status, 409);
  const update = await api.call('admin', 'PUT', '/os-aggregates/1', {
    body: { aggregate: { availability_zone: 'east' } },
  });
  assert.equal(update.status, 400);
  assert.deepEqual(await zones(api), { nova: ['one'], west: ['two'] });
});

test('images are fetched ahead by the hosts that are up', async () => {
  await using api = await cloud();
  await make(api, { name: 'ssd' });
  for (const host of ['one', 'two']) await act(api, 1, { add_host: { host } });
  await api.db.queries.updateTable('hosts').set({ forced_down: 1 }).where('name', '=', 'two').execute();
  const cache = (ids: string[], version = '2.81') =>
    api.call('admin', 'POST', '/os-aggregates/1/images', { version, body: { cache: ids.map((id) => ({ id })) } });
  assert.equal((await cache([IMAGE], '2.80')).status, 404);
  assert.equal((await cache([IMAGE, IMAGE])).status, 400);
  assert.equal((await cache(['22222222-2222-4222-8222-222222222222'])).status, 400);
  assert.equal((await cache([])).status, 400);
  assert.deepEqual(api.fetched, []);
  assert.equal((await cache([IMAGE])).status, 202);
  assert.deepEqual(api.fetched, [`one ${IMAGE}`]);
});
