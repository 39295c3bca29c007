/** Metadata of servers: merged, replaced, one by one; within the quota, and never lost between two writers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ApiHarness, apiHarness, aTurn, type Caller } from '../api-harness.ts';

const started = async (api: ApiHarness, metadata: object = {}, columns: object = {}) => {
  const id = await api.add({ metadata: JSON.stringify(metadata), ...columns });
  const call = (method: string, key = '', body?: unknown, who: Caller = 'demo') =>
    api.call(who, method, `/servers/${id}/metadata${key}`, { body });
  return { id, call, items: async () => (await call('GET')).body.metadata };
};

test('POST merges, PUT replaces', async () => {
  await using api = await apiHarness();
  const { call, items } = await started(api, { a: '1', b: '2' });
  const merged = await call('POST', '', { metadata: { b: '3', c: '' } });
  assert.equal(merged.status, 200, merged.text);
  assert.deepEqual(merged.body, { metadata: { a: '1', b: '3', c: '' } });
  assert.deepEqual(await items(), { a: '1', b: '3', c: '' });
  assert.deepEqual((await call('PUT', '', { metadata: { d: '4' } })).body, { metadata: { d: '4' } });
  assert.deepEqual(await items(), { d: '4' });
  assert.deepEqual((await call('PUT', '', { metadata: {} })).body, { metadata: {} });
});

test('one item is shown, set and removed', async () => {
  await using api = await apiHarness();
  const { id, call, items } = await started(api, { a: '1' });
  assert.deepEqual((await call('GET', '/a')).body, { meta: { a: '1' } });
  const set = await call('PUT', '/b%20c', { meta: { 'b c': '2' } });
  assert.deepEqual([set.status, set.body], [200, { meta: { 'b c': '2' } }]);
  const removed = await call('DELETE', '/a');
  assert.deepEqual([removed.status, removed.text], [204, '']);
  assert.deepEqual(await items(), { 'b c': '2' });
  const shown = await api.call('demo', 'GET', `/servers/${id}`);
  assert.deepEqual(shown.body.server.metadata, { 'b c': '2' });
});

test('an item that is not there is 404, for GET and DELETE', async () => {
  await using api = await apiHarness();
  const { call } = await started(api);
  for (const method of ['GET', 'DELETE']) {
    const answer = await call(method, '/toString');
    assert.equal(answer.status, 404);
    assert.equal(answer.body.itemNotFound.message, 'Metadata item was not found');
  }
});

test('the key of the body is that of the path, and alone', async () => {
  await using api = await apiHarness();
  const { call } = await started(api);
  for (const meta of [{ b: '1' }, { a: '1', b: '2' }, {}]) {
    const answer = await call('PUT', '/a', { meta });
    assert.equal(answer.status, 400);
    assert.equal(answer.body.badRequest.message, 'Request body and URI mismatch');
  }
});

test('keys and values are text of at most 255', async () => {
  await using api = await apiHarness();
  const { call } = await started(api);
  const bodies = [{ a: 'x'.repeat(256) }, { ['k'.repeat(256)]: '' }, { a: 1 }, { a: null }, { 'a/b': '' }];
  for (const metadata of bodies) assert.equal((await call('POST', '', { metadata })).status, 400);
  assert.equal((await call('POST', '', { metadata: { a: 'x'.repeat(255) } })).status, 200);
});

test('more items than the quota are 403, and replacing one at the limit is not', async () => {
  await using api = await apiHarness({ metadataItems: 2 });
  const { call, items } = await started(api, { a: '1', b: '2' });
  const answer = await call('POST', '', { metadata: { c: '3' } });
  assert.equal(answer.status, 403);
  assert.equal(answer.body.forbidden.message, 'Maximum number of metadata items exceeds 2');
  assert.equal((await call('PUT', '/c', { meta: { c: '3' } })).status, 403);
  assert.equal((await call('PUT', '/b', { meta: { b: '4' } })).status, 200);
  assert.deepEqual(await items(), { a: '1', b: '4' });
});

test('state and lock hold writes off, and not reads', async () => {
  await using api = await apiHarness();
  const building = await started(api, { a: '1' }, { vm_state: 'error' });
  const refused = await building.call('POST', '', { metadata: {} });
  assert.equal(refused.status, 409);
  assert.match(refused.text, /Cannot 'update metadata' instance .* while it is in vm_state error/);
  assert.equal((await building.call('GET')).status, 200);
  const locked = await started(api, {}, { locked: 1, locked_by: 'owner' });
  assert.match((await locked.call('DELETE', '/a')).text, /is locked/);
  assert.equal((await locked.call('POST', '', { metadata: { a: '1' } }, 'admin')).status, 200);
  const busy = await started(api, {}, { task_state: 'image_uploading' });
  assert.equal((await busy.call('POST', '', { metadata: { a: '1' } })).status, 200);
});

test('writes of different keys at the same moment all survive', async () => {
  await using api = await apiHarness();
  api.beforeTransaction = aTurn;
  const { call, items } = await started(api);
  const keys = Array.from({ length: 20 }, (_, index) => `k${index}`);
  const answers = await Promise.all(keys.map((key) => call('PUT', `/${key}`, { meta: { [key]: 'v' } })));
  assert.ok(answers.every(({ status }) => status === 200));
  assert.deepEqual(Object.keys(await items()).toSorted(), keys.toSorted());
});

test('another project’s server is not there, and a reader only looks', async () => {
  await using api = await apiHarness();
  const { call } = await started(api, { a: '1' });
  assert.equal((await call('GET', '', undefined, 'other')).status, 404);
  assert.equal((await call('POST', '', { metadata: {} }, 'other')).status, 404);
  assert.equal((await call('GET', '/a', undefined, 'reader')).status, 200);
  assert.equal((await call('DELETE', '/a', undefined, 'reader')).status, 403);
});
