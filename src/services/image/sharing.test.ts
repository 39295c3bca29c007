import assert from 'node:assert/strict';
import { test } from 'node:test';
import { imageHarness, type Token } from './image-harness.ts';

test('sharing: offered, seen, accepted, listed, taken back', async () => {
  await using cloud = await imageHarness();
  const id = await cloud.create('demo', { name: 'offer' });
  const members = `/v2/images/${id}/members`;
  const listed = async (token: Token, query = '') =>
    (await cloud.call(token, 'GET', `/v2/images?${query}`)).json.images.length;
  assert.equal((await cloud.call('other', 'GET', `/v2/images/${id}`)).status, 404);
  const added = await cloud.call('demo', 'POST', members, { member: 'project-other' });
  assert.equal(added.status, 200);
  assert.deepEqual(added.json, {
    member_id: 'project-other',
    image_id: id,
    status: 'pending',
    created_at: '2026-01-31T12:00:00Z',
    updated_at: '2026-01-31T12:00:00Z',
    schema: '/v2/schemas/member',
  });
  assert.equal((await cloud.call('demo', 'POST', members, { member: 'project-other' })).status, 409);
  await cloud.call('demo', 'POST', members, { member: 'project-third' });
  assert.equal((await cloud.call('demo', 'GET', members)).json.members.length, 2);
  assert.equal((await cloud.call('other', 'GET', members)).json.members.length, 1);
  assert.equal((await cloud.call('other', 'GET', `${members}/project-third`)).status, 404);
  assert.equal((await cloud.call('other', 'GET', `/v2/images/${id}`)).status, 200);
  assert.equal(await listed('other'), 0);
  assert.equal(await listed('other', 'member_status=pending'), 1);
  assert.equal(await listed('other', 'member_status=all&visibility=shared'), 1);

  const answer = (token: Token, status: string, member = 'project-other') =>
    cloud.call(token, 'PUT', `${members}/${member}`, { status });
  assert.equal((await answer('demo', 'accepted')).status, 403);
  assert.equal((await answer('third', 'accepted')).status, 404);
  assert.equal((await answer('other', 'maybe')).status, 400);
  assert.equal((await answer('other', 'accepted')).json.status, 'accepted');
  assert.equal(await listed('other'), 1);
  assert.equal((await answer('other', 'rejected')).status, 200);
  assert.equal(await listed('other'), 0);

  assert.equal((await cloud.call('other', 'POST', members, { member: 'project-x' })).status, 403);
  assert.equal((await cloud.call('other', 'DELETE', `${members}/project-other`)).status, 403);
  assert.equal((await cloud.call('demo', 'DELETE', `${members}/project-other`)).status, 204);
  assert.equal((await cloud.call('demo', 'DELETE', `${members}/project-other`)).status, 404);
  assert.equal((await cloud.call('other', 'GET', `/v2/images/${id}`)).status, 404);
});

test('only shared images have members', async () => {
  await using cloud = await imageHarness();
  const id = await cloud.create('demo', { visibility: 'private' });
  const members = `/v2/images/${id}/members`;
  assert.equal((await cloud.call('demo', 'POST', members, { member: 'x' })).status, 403);
  assert.equal((await cloud.call('demo', 'GET', members)).status, 403);
  assert.equal((await cloud.call('demo', 'GET', `${members}/x`)).status, 404);
});

test('tags', async () => {
  await using cloud = await imageHarness();
  const id = await cloud.create('demo');
  const tag = (method: string, name: string, token: Token = 'demo') =>
    cloud.call(token, method, `/v2/images/${id}/tags/${name}`);
  for (const name of ['b', 'a', 'b', 'sp%20ace']) assert.equal((await tag('PUT', name)).status, 204);
  assert.deepEqual((await cloud.call('demo', 'GET', `/v2/images/${id}`)).json.tags, ['a', 'b', 'sp ace']);
  assert.equal((await tag('DELETE', 'a')).status, 204);
  assert.equal((await tag('DELETE', 'a')).status, 404);
  assert.equal((await tag('PUT', 'x'.repeat(256))).status, 400);
  assert.equal((await tag('PUT', 'x', 'reader')).status, 403);
});

test('a deactivated image can be read by administrators only', async () => {
  await using cloud = await imageHarness();
  const id = await cloud.create('demo');
  const act = (token: Token, name: string) => cloud.call(token, 'POST', `/v2/images/${id}/actions/${name}`);
  assert.equal((await act('admin', 'deactivate')).status, 403);
  await cloud.put('demo', id, Buffer.from('x'));
  assert.equal((await act('demo', 'deactivate')).status, 403);
  assert.equal((await act('admin', 'deactivate')).status, 204);
  assert.equal((await act('admin', 'deactivate')).status, 204);
  assert.equal((await cloud.call('demo', 'GET', `/v2/images/${id}`)).json.status, 'deactivated');
  assert.equal((await cloud.call('demo', 'GET', `/v2/images/${id}/file`)).status, 403);
  assert.equal((await cloud.call('admin', 'GET', `/v2/images/${id}/file`)).status, 200);
  assert.equal((await act('admin', 'reactivate')).status, 204);
  assert.equal((await cloud.call('demo', 'GET', `/v2/images/${id}/file`)).status, 200);
});

test('versions, schemas and what can be imported', async () => {
  await using cloud = await imageHarness();
  for (const [path, status] of [
    ['', 300],
    ['/', 300],
    ['/versions', 200],
  ] as const) {
    const reply = await cloud.server.inject({ url: `/image${path}` });
    assert.equal(reply.statusCode, status);
    const [newest] = reply.json().versions;
    assert.deepEqual(newest, {
      id: 'v2.15',
      status: 'CURRENT',
      links: [{ rel: 'self', href: 'http://localhost:80/image/v2/' }],
    });
  }
  const { json: image } = await cloud.call('demo', 'GET', '/v2/schemas/image');
  const id = await cloud.create('demo');
  const shown = (await cloud.call('demo', 'GET', `/v2/images/${id}`)).json;
  for (const key of Object.keys(shown)) assert.ok(key in image.properties, key);
  assert.deepEqual(image.additionalProperties, { type: 'string' });
  for (const name of ['images', 'member', 'members'])
    assert.equal((await cloud.call('demo', 'GET', `/v2/schemas/${name}`)).json.name, name);
  assert.deepEqual((await cloud.call('demo', 'GET', '/v2/info/import')).json['import-methods'].value, []);
  assert.equal((await cloud.call('demo', 'GET', '/v2/info/stores')).status, 404);
  const nobody = await cloud.server.inject({ url: '/image/v2/images' });
  assert.equal(nobody.statusCode, 401);
  assert.match(String(nobody.headers['www-authenticate']), /^Keystone uri=/);
});
