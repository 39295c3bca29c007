import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { type ImageHarness, imageHarness, type Token } from '../image-harness.ts';
import { PATCH_V20, PATCH_V21 } from './json-patch.ts';

const MINUTE = 60_000;

const patch = (cloud: ImageHarness, token: Token, id: string, changes: unknown, type = PATCH_V21) =>
  cloud.call(token, 'PATCH', `/v2/images/${id}`, changes, { 'content-type': type });

const show = async (cloud: ImageHarness, token: Token, id: string) =>
  (await cloud.call(token, 'GET', `/v2/images/${id}`)).json;

async function names(cloud: ImageHarness, token: Token, query = ''): Promise<string[]> {
  const reply = await cloud.call(token, 'GET', `/v2/images?limit=100&sort=name:asc${query && `&${query}`}`);
  assert.equal(reply.status, 200, reply.body.toString());
  return reply.json.images.map((image: { name: string }) => image.name);
}

test('a new image: defaults, properties at the top level, Location', async () => {
  await using cloud = await imageHarness();
  const reply = await cloud.call('demo', 'POST', '/v2/images', {
    name: 'one',
    os_distro: 'debian',
    tags: ['b', 'a', 'b'],
  });
  assert.equal(reply.status, 201);
  const { id, ...image } = reply.json;
  assert.equal(reply.headers.location, `http://localhost:80/image/v2/images/${id}`);
  assert.deepEqual(image, {
    name: 'one',
    os_distro: 'debian',
    tags: ['a', 'b'],
    status: 'queued',
    visibility: 'shared',
    owner: 'project-demo',
    protected: false,
    os_hidden: false,
    disk_format: null,
    container_format: null,
    min_disk: 0,
    min_ram: 0,
    size: null,
    virtual_size: null,
    checksum: null,
    os_hash_algo: null,
    os_hash_value: null,
    created_at: '2026-01-31T12:00:00Z',
    updated_at: '2026-01-31T12:00:00Z',
    self: `/v2/images/${id}`,
    file: `/v2/images/${id}/file`,
    schema: '/v2/schemas/image',
  });
  assert.deepEqual(await show(cloud, 'demo', id), reply.json);
});

test('what a create request may not say', async () => {
  await using cloud = await imageHarness();
  const id = await cloud.create('demo');
  const cases: readonly [Token, unknown, number][] = [
    ['demo', { id }, 409],
    ['demo', { id: 'x' }, 400],
    ['demo', { status: 'active' }, 403],
    ['demo', { size: 5 }, 403],
    ['demo', { locations: [] }, 403],
    ['demo', { os_glance_import_task: 'x' }, 403],
    ['demo', { visibility: 'public' }, 403],
    ['demo', { visibility: 'everybody' }, 400],
    ['demo', { owner: 'project-other' }, 403],
    ['demo', { name: 'n'.repeat(256) }, 400],
    ['demo', { disk_format: 'floppy' }, 400],
    ['demo', { min_ram: -1 }, 400],
    ['demo', { min_disk: 2 ** 31 }, 400],
    ['demo', { cpu: 4 }, 400],
    ['demo', { ['p'.repeat(256)]: 'x' }, 400],
    ['demo', { tags: ['t'.repeat(256)] }, 400],
    ['demo', { tags: Array.from({ length: 129 }, (_, index) => `t${index}`) }, 413],
    ['demo', Object.fromEntries(Array.from({ length: 129 }, (_, index) => [`p${index}`, 'x'])), 413],
    ['demo', [], 400],
    ['reader', { name: 'x' }, 403],
    ['admin', { visibility: 'public' }, 201],
    ['service', { owner: 'project-demo', kernel_id: null, image_type: 'snapshot' }, 201],
  ];
  for (const [token, body, status] of cases) {
    const reply = await cloud.call(token, 'POST', '/v2/images', body);
    assert.equal(reply.status, status, `${JSON.stringify(body).slice(0, 80)}: ${reply.body}`);
    if (status >= 400) assert.match(String(reply.headers['content-type']), /^text\/html/);
  }
  assert.equal((await cloud.call('demo', 'POST', '/v2/images', { __proto__: null, name: 'ok' })).status, 201);
});

test('JSON patch: add, replace, remove, escapes, and all or nothing', async () => {
  await using cloud = await imageHarness();
  const id = await cloud.create('demo', { os_distro: 'debian', 'a/b~c': 'old' });
  cloud.clock += MINUTE;
  const good = await patch(cloud, 'demo', id, [
    { op: 'replace', path: '/name', value: 'new' },
    { op: 'add', path: '/os_version', value: '12' },
    { op: 'replace', path: '/a~1b~0c', value: 'changed' },
    { op: 'remove', path: '/os_distro' },
    { op: 'replace', path: '/tags', value: ['x', 'x', 'y'] },
    { op: 'replace', path: '/min_disk', value: 7 },
    { op: 'replace', path: '/protected', value: true },
    { op: 'replace', path: '/disk_format', value: 'qcow2' },
  ]);
  assert.equal(good.status, 200, good.body.toString());
  const image = await show(cloud, 'demo', id);
  assert.deepEqual(good.json, image);
  assert.equal(image.name, 'new');
  assert.equal(image.os_version, '12');
  assert.equal(image['a/b~c'], 'changed');
  assert.ok(!('os_distro' in image));
  assert.deepEqual(image.tags, ['x', 'y']);
  assert.equal(image.min_disk, 7);
  assert.equal(image.protected, true);
  assert.equal(image.disk_format, 'qcow2');
  assert.equal(image.updated_at, '2026-01-31T12:01:00Z');
  const atomic = await patch(cloud, 'demo', id, [
    { op: 'replace', path: '/name', value: 'half' },
    { op: 'remove', path: '/absent' },
  ]);
  assert.equal(atomic.status, 409);
  assert.deepEqual(await show(cloud, 'demo', id), image);
  assert.deepEqual((await patch(cloud, 'demo', id, [])).json, image);
});

test('JSON patch: what is refused, and how', async () => {
  await using cloud = await imageHarness();
  const id = await cloud.create('demo', { present: 'yes' });
  const cases: readonly [unknown, number][] = [
    [{ op: 'replace', path: '/name', value: 'x' }, 400],
    [['x'], 400],
    [[{ op: 'move', path: '/name', value: 'x' }], 400],
    [[{ op: 'replace', value: 'x' }], 400],
    [[{ op: 'replace', path: '/name' }], 400],
    [[{ op: 'replace', path: 'name', value: 'x' }], 400],
    [[{ op: 'replace', path: '/', value: 'x' }], 400],
    [[{ op: 'replace', path: '/a/b', value: 'x' }], 400],
    [[{ op: 'replace', path: '/a~2', value: 'x' }], 400],
    [[{ op: 'replace', path: '/name', value: 5 }], 400],
    [[{ op: 'replace', path: '/min_ram', value: 'much' }], 400],
    [[{ op: 'replace', path: '/tags', value: 'x' }], 400],
    [[{ op: 'add', path: '/own', value: 5 }], 400],
    [[{ op: 'replace', path: '/absent', value: 'x' }], 409],
    [[{ op: 'remove', path: '/absent' }], 409],
    [[{ op: 'remove', path: '/name' }], 403],
    [[{ op: 'replace', path: '/owner', value: 'project-other' }], 403],
    [[{ op: 'replace', path: '/visibility', value: 'public' }], 403],
    [[{ op: 'add', path: '/locations/-', value: { url: 'file:///etc/passwd', metadata: {} } }], 403],
    ...[
      'id',
      'status',
      'checksum',
      'size',
      'virtual_size',
      'created_at',
      'self',
      'file',
      'schema',
      'os_hash_value',
    ].map((name): [unknown, number] => [[{ op: 'replace', path: `/${name}`, value: 'x' }], 403]),
  ];
  for (const [changes, status] of cases)
    assert.equal((await patch(cloud, 'demo', id, changes)).status, status, JSON.stringify(changes));
  assert.equal((await patch(cloud, 'demo', id, [], 'application/json')).status, 415);
  assert.equal((await patch(cloud, 'reader', id, [{ op: 'replace', path: '/name', value: 'x' }])).status, 403);
  await cloud.put('demo', id, Buffer.from('x'));
  const late = [{ op: 'replace', path: '/disk_format', value: 'qcow2' }];
  assert.equal((await patch(cloud, 'demo', id, late)).status, 403);
  assert.equal((await show(cloud, 'demo', id)).disk_format, 'raw');
});

test('the older JSON patch', async () => {
  await using cloud = await imageHarness();
  const id = await cloud.create('demo', { present: 'yes' });
  const old = (changes: unknown) => patch(cloud, 'demo', id, changes, PATCH_V20);
  assert.equal(
    (
      await old([
        { replace: '/name', value: 'old style' },
        { add: '/more', value: 'x' },
      ])
    ).status,
    200,
  );
  assert.equal((await old([{ add: '/present', value: 'x' }])).status, 409);
  assert.equal((await old([{ remove: '/present' }])).status, 200);
  assert.equal((await old([{ remove: '/more', add: '/more', value: '' }])).status, 400);
  const image = await show(cloud, 'demo', id);
  assert.equal(image.name, 'old style');
  assert.equal(image.more, 'x');
  assert.ok(!('present' in image));
});

test('protected images stay; deleted ones are gone', async () => {
  await using cloud = await imageHarness();
  const id = await cloud.create('demo', { protected: true });
  await cloud.put('demo', id, Buffer.from('x'));
  assert.equal((await cloud.call('demo', 'DELETE', `/v2/images/${id}`)).status, 403);
  assert.deepEqual(await cloud.stored(), [id]);
  await patch(cloud, 'demo', id, [{ op: 'replace', path: '/protected', value: false }]);
  assert.equal((await cloud.call('demo', 'DELETE', `/v2/images/${id}`)).status, 204);
  for (const method of ['GET', 'DELETE'])
    assert.equal((await cloud.call('demo', method, `/v2/images/${id}`)).status, 404);
});

test('projects are walls', async () => {
  await using cloud = await imageHarness();
  const id = await cloud.create('demo', { visibility: 'private' });
  await cloud.put('demo', id, Buffer.from('secret'));
  const requests: readonly [string, string, unknown?, Record<string, string>?][] = [
    ['GET', ''],
    ['GET', '/file'],
    ['DELETE', ''],
    ['PATCH', '', [{ op: 'replace', path: '/name', value: 'mine' }], { 'content-type': PATCH_V21 }],
    ['PUT', '/tags/mine'],
    ['GET', '/members'],
    ['POST', '/members', { member: 'project-other' }],
    ['PUT', '/file', Buffer.from('x'), { 'content-type': 'application/octet-stream' }],
  ];
  for (const [method, path, body, headers] of requests)
    assert.equal(
      (await cloud.call('other', method, `/v2/images/${id}${path}`, body, headers)).status,
      404,
      method + path,
    );
  assert.deepEqual(await names(cloud, 'other', 'visibility=all'), []);
  assert.equal((await cloud.call('service', 'GET', `/v2/images/${id}/file`)).body.toString(), 'secret');
  const open = await cloud.create('demo', { visibility: 'community' });
  assert.equal((await cloud.call('other', 'GET', `/v2/images/${open}`)).status, 200);
  assert.equal((await cloud.call('other', 'DELETE', `/v2/images/${open}`)).status, 403);
  assert.equal((await cloud.call('admin', 'DELETE', `/v2/images/${open}`)).status, 204);
});

test('what each project sees in a list', async () => {
  await using cloud = await imageHarness();
  await cloud.create('admin', { name: 'public', visibility: 'public' });
  for (const visibility of ['private', 'shared', 'community']) {
    await cloud.create('demo', { name: `demo-${visibility}`, visibility });
    await cloud.create('other', { name: `other-${visibility}`, visibility });
  }
  await cloud.create('demo', { name: 'demo-hidden', os_hidden: true });
  const own = ['demo-community', 'demo-private', 'demo-shared', 'public'];
  assert.deepEqual(await names(cloud, 'demo'), own);
  assert.deepEqual(await names(cloud, 'demo', 'visibility=all'), [...own.slice(0, 3), 'other-community', 'public']);
  assert.deepEqual(await names(cloud, 'demo', 'visibility=community'), ['demo-community', 'other-community']);
  assert.deepEqual(await names(cloud, 'demo', 'visibility=private'), ['demo-private']);
  assert.deepEqual(await names(cloud, 'demo', 'visibility=shared'), ['demo-shared']);
  assert.deepEqual(await names(cloud, 'demo', 'visibility=public'), ['public']);
  assert.deepEqual(await names(cloud, 'demo', 'os_hidden=true'), ['demo-hidden']);
  assert.deepEqual(await names(cloud, 'demo', 'owner=project-other&visibility=all'), ['other-community']);
  const all = ['demo-private', 'demo-shared', 'other-private', 'other-shared', 'public'];
  assert.deepEqual(await names(cloud, 'admin'), all);
  assert.deepEqual(await names(cloud, 'service', 'visibility=private'), ['demo-private', 'other-private']);
});

test('filters', async () => {
  await using cloud = await imageHarness();
  const instance = randomUUID();
  const sizes = { a: 10, b: 200, c: 3000 };
  for (const [name, size] of Object.entries(sizes)) {
    const id = await cloud.create('demo', {
      name,
      tags: [name, 'all'],
      ...(name === 'b' && { instance_uuid: instance }),
    });
    await cloud.put('demo', id, Buffer.alloc(size));
    cloud.clock += MINUTE;
  }
  await cloud.create('demo', { name: 'd,e', disk_format: 'qcow2', min_ram: 5, protected: true });
  const cases: readonly [string, string[]][] = [
    ['name=b', ['b']],
    ['name=in:a,c', ['a', 'c']],
    ['name=in:a,%22d,e%22', ['a', 'd,e']],
    ['name=neq:b', ['a', 'c', 'd,e']],
    ['status=active', ['a', 'b', 'c']],
    ['disk_format=qcow2', ['d,e']],
    ['disk_format=in:qcow2,vdi', ['d,e']],
    ['size_min=200', ['b', 'c']],
    ['size_max=200', ['a', 'b']],
    ['size_min=11&size_max=200', ['b']],
    ['tag=all', ['a', 'b', 'c']],
    ['tag=all&tag=c', ['c']],
    [`instance_uuid=${instance}`, ['b']],
    ['instance_uuid=x', []],
    ['no_such_property=x', []],
    ['protected=true', ['d,e']],
    ['min_ram=5', ['d,e']],
    ['created_at=gt:2026-01-31T12:00:30Z', ['b', 'c', 'd,e']],
    ['created_at=lte:2026-01-31T12:01:00', ['a', 'b']],
    ['created_at=eq:2026-01-31T12:02:00Z', ['c']],
    ['created_at=gt:2026-01-31T13:00:30%2B01:00', ['b', 'c', 'd,e']],
  ];
  for (const [query, expected] of cases) assert.deepEqual(await names(cloud, 'demo', query), expected, query);
  const bad = [
    'limit=x',
    'limit=-1',
    'marker=x',
    'size_min=x',
    'created_at=gt:x',
    'created_at=near:2026-01-31T12:00:00Z',
    'visibility=x',
    'member_status=x',
    'os_hidden=x',
    'protected=x',
    'sort=x',
    'sort=name:up',
    'sort_key=x',
    'sort_key=name&sort_dir=up',
    'sort=name&sort_key=name',
    'sort_key=name&sort_dir=asc&sort_dir=desc',
    'name=in:%22a',
    'changes-since=1',
    `marker=${randomUUID()}`,
  ];
  for (const query of bad) assert.equal((await cloud.call('demo', 'GET', `/v2/images?${query}`)).status, 400, query);
});

test('pages neither skip nor repeat, in any order, with ties and nulls', async () => {
  await using cloud = await imageHarness();
  const expected = new Set<string>();
  for (let index = 0; index < 11; index += 1) {
    if (index % 4 === 0) cloud.clock += MINUTE;
    const name = index % 3 === 0 ? null : `name ${index % 2}`;
    const id = await cloud.create('demo', { name, disk_format: index % 5 === 0 ? null : 'raw' });
    if (index % 5 === 1) await cloud.put('demo', id, Buffer.alloc(index));
    expected.add(id);
  }
  const orders = [
    '',
    'sort=name:asc',
    'sort=name:desc,size:asc',
    'sort_key=size&sort_dir=asc',
    'sort=disk_format,status:asc',
    'sort=id:asc',
  ];
  for (const order of orders) {
    const whole = (await cloud.call('demo', 'GET', `/v2/images?limit=100&${order}`)).json;
    assert.ok(!('next' in whole));
    const seen: string[] = [];
    let path: string | undefined = `/v2/images?limit=2&${order}`;
    while (path) {
      const { json } = await cloud.call('demo', 'GET', path);
      seen.push(...json.images.map(({ id }: { id: string }) => id));
      path = json.next;
      assert.ok(path === undefined || path.startsWith('/v2/images?limit=2'));
    }
    assert.deepEqual(
      seen,
      whole.images.map(({ id }: { id: string }) => id),
      order,
    );
    assert.deepEqual(new Set(seen), expected);
  }
  const { json } = await cloud.call('demo', 'GET', '/v2/images?limit=0');
  assert.deepEqual(json, { images: [], schema: '/v2/schemas/images', first: '/v2/images?limit=0' });
});
