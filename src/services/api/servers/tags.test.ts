/** Tags of servers, and lists by tags. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ApiHarness, apiHarness, aTurn, type Caller } from '../api-harness.ts';

const VERSION = '2.26';

const started = async (api: ApiHarness, tags: readonly string[] = [], columns: object = {}) => {
  const id = await api.add({ tags: JSON.stringify(tags), ...columns });
  const call = (method: string, tag = '', body?: unknown, who: Caller = 'demo') =>
    api.call(who, method, `/servers/${id}/tags${tag}`, { body, version: VERSION });
  return { id, call, tags: async () => (await call('GET')).body.tags };
};

test('tags are replaced, added, asked for and removed', async () => {
  await using api = await apiHarness();
  const { id, call, tags } = await started(api);
  const put = await call('PUT', '', { tags: ['a', 'b', 'a'] });
  assert.deepEqual([put.status, put.body], [200, { tags: ['a', 'b'] }]);
  const added = await call('PUT', '/c%20%C3%A4');
  assert.equal(added.status, 201);
  assert.equal(added.text, '');
  assert.equal(added.headers.location, `http://cloud.example/compute/v2.1/servers/${id}/tags/c%20%C3%A4`);
  const again = await call('PUT', '/c%20%C3%A4');
  assert.deepEqual([again.status, again.headers.location], [204, undefined]);
  assert.deepEqual(await tags(), ['a', 'b', 'c ä']);
  assert.equal((await call('GET', '/a')).status, 204);
  assert.equal((await call('DELETE', '/a')).status, 204);
  for (const method of ['GET', 'DELETE']) {
    const missing = await call(method, '/a');
    assert.deepEqual([missing.status, missing.body.itemNotFound.message], [404, `Server ${id} has no tag 'a'`]);
  }
  assert.deepEqual(await tags(), ['b', 'c ä']);
  assert.equal((await call('DELETE')).status, 204);
  assert.deepEqual(await tags(), []);
});

test('tags came with 2.26', async () => {
  await using api = await apiHarness();
  const { id } = await started(api);
  assert.equal((await api.call('demo', 'GET', `/servers/${id}/tags`, { version: '2.25' })).status, 404);
  assert.equal((await api.call('demo', 'PUT', `/servers/${id}/tags/a`)).status, 404);
});

test('at most 50 tags of at most 60 characters, without slashes and commas', async () => {
  await using api = await apiHarness();
  const { call, tags } = await started(api);
  const many = Array.from({ length: 50 }, (_, index) => `t${index}`);
  assert.equal((await call('PUT', '', { tags: [...many, 'more'] })).status, 400);
  assert.equal((await call('PUT', '', { tags: many })).status, 200);
  const over = await call('PUT', '/more');
  assert.equal(over.body.badRequest.message, 'The number of tags exceeded the per-server limit 50');
  assert.equal((await call('PUT', '/t7')).status, 204);
  assert.equal((await tags()).length, 50);
  for (const bad of ['', 'a,b', 'a/b', 'x'.repeat(61), 7])
    assert.equal((await call('PUT', '', { tags: [bad] })).status, 400);
  const long = await call('PUT', `/${'x'.repeat(61)}`);
  assert.match(long.body.badRequest.message, /is too long. Maximum length of a tag is 60/);
  for (const bad of ['/a%2Cb', '/a%2Fb'])
    assert.match((await call('PUT', bad)).body.badRequest.message, /is invalid. It must be a non empty string/);
});

test('tags are held off by the state alone, as in Nova', async () => {
  await using api = await apiHarness();
  const { call } = await started(api, [], { vm_state: 'error' });
  assert.match((await call('PUT', '/a')).text, /Cannot 'update tag' instance .* while it is in vm_state error/);
  assert.match((await call('DELETE')).text, /Cannot 'delete tag' instance/);
  const locked = await started(api, [], { locked: 1, locked_by: 'owner' });
  assert.equal((await locked.call('PUT', '/a')).status, 201);
});

test('tags added at the same moment all survive', async () => {
  await using api = await apiHarness();
  api.beforeTransaction = aTurn;
  const { call, tags } = await started(api);
  const wanted = Array.from({ length: 20 }, (_, index) => `t${index}`);
  await Promise.all(wanted.map((tag) => call('PUT', `/${tag}`)));
  assert.deepEqual((await tags()).toSorted(), wanted.toSorted());
});

test('another project’s server is not there, and a reader only looks', async () => {
  await using api = await apiHarness();
  const { call } = await started(api, ['a']);
  assert.equal((await call('GET', '', undefined, 'other')).status, 404);
  assert.equal((await call('PUT', '/b', undefined, 'other')).status, 404);
  assert.equal((await call('GET', '/a', undefined, 'reader')).status, 204);
  assert.equal((await call('PUT', '/b', undefined, 'reader')).status, 403);
});

test('servers are listed by the tags they have, and by those they have not', async () => {
  await using api = await apiHarness();
  for (const tags of [[], ['red'], ['red', 'big'], ['big', 'a"b'], ['Red']])
    await api.add({ name: tags.join('+') || 'none', tags: JSON.stringify(tags) });
  const names = async (query: string, version = VERSION) => {
    const answer = await api.call('demo', 'GET', `/servers?${query}`, { version });
    assert.equal(answer.status, 200, answer.text);
    return answer.body.servers.map(({ name }: { name: string }) => name).toSorted();
  };
  const all = ['Red', 'big+a"b', 'none', 'red', 'red+big'].toSorted();
  assert.deepEqual(await names('tags=red'), ['red', 'red+big']);
  assert.deepEqual(await names('tags=red,big'), ['red+big']);
  assert.deepEqual(await names('tags-any=red,big'), ['big+a"b', 'red', 'red+big'].toSorted());
  assert.deepEqual(
    await names('not-tags=red,big'),
    all.filter((name) => name !== 'red+big'),
  );
  assert.deepEqual(await names('not-tags-any=red,big'), ['Red', 'none']);
  assert.deepEqual(await names('tags=red&not-tags=big'), ['red']);
  assert.deepEqual(await names('tags=a%22b'), ['big+a"b'], 'a quote is a character like others');
  assert.deepEqual(await names('tags=a'), [], 'a part of a tag is none');
  assert.deepEqual(await names('tags=b'), []);
  assert.deepEqual(await names('tags=re_'), [], 'nothing is a wildcard');
  assert.deepEqual(await names('tags=red', '2.25'), all, 'not asked for before 2.26');
  const detail = await api.call('demo', 'GET', '/servers/detail?tags=big', { version: '2.93' });
  assert.equal(detail.body.servers.length, 2);
});
