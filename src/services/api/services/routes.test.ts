/** Services: what each microversion shows, how a host is taken out of service and said to be dead, and when it is forgotten. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { findHost } from '#db/repo/hosts.ts';
import { beatService } from '#db/repo/services.ts';
import { type ApiHarness, apiHarness } from '../api-harness.ts';
import { addAllocation, addHost } from '../hosts-harness.ts';

const CONDUCTOR = { role: 'nova-conductor', host: 'control' } as const;

async function cloud(): Promise<ApiHarness> {
  const api = await apiHarness();
  await api.db.transaction((trx) => beatService(trx, CONDUCTOR, api.clock));
  await addHost(api.db, { name: 'one', availability_zone: 'west' }, api.clock);
  await addHost(api.db, { name: 'two' }, api.clock);
  return api;
}

const list = async (api: ApiHarness, version: string, query = '') => {
  const { status, body, text } = await api.call('admin', 'GET', `/os-services${query}`, { version });
  assert.equal(status, 200, text);
  return body.services;
};

const one = async (api: ApiHarness, version = '2.53') => (await list(api, version, '?host=one'))[0];

test('a service has exactly the keys of its microversion; its id is a number until 2.52', async () => {
  await using api = await cloud();
  assert.deepEqual(await list(api, '2.1'), [
    {
      id: 1,
      binary: 'nova-conductor',
      host: 'control',
      zone: 'internal',
      status: 'enabled',
      state: 'up',
      updated_at: '2026-01-02T03:04:05.000000',
      disabled_reason: null,
    },
    {
      id: 2,
      binary: 'nova-compute',
      host: 'one',
      zone: 'west',
      status: 'enabled',
      state: 'up',
      updated_at: '2026-01-02T03:04:05.000000',
      disabled_reason: null,
    },
    {
      id: 3,
      binary: 'nova-compute',
      host: 'two',
      zone: 'nova',
      status: 'enabled',
      state: 'up',
      updated_at: '2026-01-02T03:04:05.000000',
      disabled_reason: null,
    },
  ]);
  assert.equal((await one(api, '2.11')).forced_down, false);
  assert.equal((await one(api, '2.52')).id, 2);
  assert.match((await one(api)).id, /^[0-9a-f-]{36}$/);
});

test('lists are filtered by host and binary; what is unknown is refused from 2.75 on', async () => {
  await using api = await cloud();
  const names = async (query: string) => (await list(api, '2.1', query)).map(({ host }: { host: string }) => host);
  assert.deepEqual(await names('?binary=nova-compute'), ['one', 'two']);
  assert.deepEqual(await names('?host=two'), ['two']);
  assert.deepEqual(await names('?host=two&binary=nova-conductor'), []);
  assert.deepEqual(await names('?foo=1'), ['control', 'one', 'two']);
  assert.equal((await api.call('admin', 'GET', '/os-services?foo=1', { version: '2.75' })).status, 400);
  assert.equal((await api.call('demo', 'GET', '/os-services')).status, 403);
});

test('what was not heard of for a minute is down', async () => {
  await using api = await cloud();
  api.clock += 61_000;
  await api.db.transaction((trx) => beatService(trx, CONDUCTOR, api.clock));
  const states = (await list(api, '2.1')).map(({ host, state }: Record<string, string>) => `${host} ${state}`);
  assert.deepEqual(states, ['control up', 'one down', 'two down']);
});

test('until 2.52 a host is named, and each change has an address of its own', async () => {
  await using api = await cloud();
  const put = (action: string, body: object, version = '2.11') =>
    api.call('admin', 'PUT', `/os-services/${action}`, { version, body });
  const host = { host: 'one', binary: 'nova-compute' };
  const answers = [
    ['disable', host, { ...host, status: 'disabled' }],
    [
      'disable-log-reason',
      { ...host, disabled_reason: 'disks' },
      { ...host, status: 'disabled', disabled_reason: 'disks' },
    ],
  ] as const;
  for (const [action, body, service] of answers) {
    const answer = await put(action, body, '2.1');
    assert.deepEqual([answer.status, answer.body], [200, { service }], action);
    assert.equal((await one(api)).status, 'disabled');
  }
  assert.equal((await one(api)).disabled_reason, 'disks');
  const enabled = await put('enable', host);
  assert.deepEqual(enabled.body, { service: { ...host, status: 'enabled' } });
  assert.deepEqual([(await one(api)).status, (await one(api)).disabled_reason], ['enabled', null]);
  const down = await put('force-down', { ...host, forced_down: true });
  assert.deepEqual(down.body, { service: { ...host, forced_down: true } });
  assert.deepEqual([(await one(api)).state, (await one(api)).forced_down], ['down', true]);
  await put('force-down', { ...host, forced_down: 'False' });
  assert.equal((await one(api)).state, 'up');

  assert.equal((await put('disable-log-reason', host)).status, 400);
  assert.equal((await put('force-down', { ...host, forced_down: true }, '2.10')).status, 404);
  assert.equal((await put('disable', host, '2.53')).status, 404, 'a uuid names it then');
  assert.equal((await put('explode', host)).status, 404);
  const unknown = await put('disable', { host: 'none', binary: 'nova-compute' });
  assert.deepEqual(
    [unknown.status, unknown.body.itemNotFound.message],
    [404, 'Could not find binary nova-compute on host none.'],
  );
  assert.equal((await put('disable', { host: 'control', binary: 'nova-conductor' })).status, 400);
});

test('from 2.53 on one address changes all of it', async () => {
  await using api = await cloud();
  const { id } = await one(api);
  const put = (body: object, which = id) =>
    api.call('admin', 'PUT', `/os-services/${which}`, { version: '2.53', body });
  const off = await put({ status: 'disabled', disabled_reason: 'disks', forced_down: true });
  assert.equal(off.status, 200, off.text);
  assert.deepEqual(off.body.service, await one(api));
  const { status, disabled_reason, forced_down, state } = off.body.service;
  assert.deepEqual(
    { status, disabled_reason, forced_down, state },
    { status: 'disabled', disabled_reason: 'disks', forced_down: true, state: 'down' },
  );
  assert.equal((await put({ forced_down: false })).body.service.status, 'disabled', 'what is not named stays');
  assert.equal((await put({ status: 'enabled' })).body.service.disabled_reason, null);
  for (const bad of [
    {},
    { disabled_reason: 'x' },
    { status: 'enabled', disabled_reason: 'x' },
    { status: 'off' },
    { foo: 1 },
  ])
    assert.equal((await put(bad)).status, 400, JSON.stringify(bad));
  assert.equal((await put({ status: 'enabled' }, '1')).status, 400);
  assert.equal((await put({ status: 'enabled' }, randomUUID())).status, 404);
  const conductor = (await list(api, '2.53', '?binary=nova-conductor'))[0];
  assert.equal((await put({ status: 'disabled' }, conductor.id)).status, 400);
  assert.equal((await api.call('demo', 'PUT', `/os-services/${id}`, { version: '2.53', body: {} })).status, 403);
});

test('a host is forgotten when nothing is on it and nothing can return to it', async () => {
  await using api = await cloud();
  const remove = (id: unknown, version = '2.53') => api.call('admin', 'DELETE', `/os-services/${id}`, { version });
  const { id } = await one(api);
  const server = await api.add({ host: 'one' });
  const refused = await remove(id);
  assert.deepEqual(
    [refused.status, refused.body.conflictingRequest.message],
    [409, 'Unable to delete compute service that is hosting instances. Migrate or delete the instances first.'],
  );
  await api.db.queries.updateTable('servers').set({ host: 'two' }).execute();
  await addAllocation(api.db, server, 'one', 'migration');
  assert.equal((await remove(id)).status, 409, 'it may be reverted');
  await api.db.queries.deleteFrom('allocations').execute();
  assert.equal((await remove(id)).status, 204);
  assert.equal(await findHost(api.db.queries, 'one'), undefined);
  assert.equal((await remove(id)).status, 404);
  assert.equal((await remove(3, '2.1')).status, 409, 'the other one has the server');
  assert.equal((await remove(1, '2.1')).status, 204);
  assert.deepEqual(
    (await list(api, '2.1')).map(({ host }: { host: string }) => host),
    ['two'],
  );
  assert.equal((await remove('x', '2.1')).status, 400);
});
