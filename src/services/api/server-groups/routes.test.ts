/** Server groups: their bodies by microversion, who sees them, how many there may be, and who is in them. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { addServerToGroup } from '#db/repo/server-groups.ts';
import { type ApiHarness, apiHarness, type Caller, PROJECTS } from '../api-harness.ts';

const make = (api: ApiHarness, group: object, version = '2.1', who: Caller = 'demo') =>
  api.call(who, 'POST', '/os-server-groups', { version, body: { server_group: { name: 'web', ...group } } });

const join = (api: ApiHarness, groupId: string, serverId: string, maxMembers = -1) =>
  api.db.transaction((trx) => addServerToGroup(trx, groupId, serverId, { projectId: PROJECTS.demo, maxMembers }));

test('a group has exactly the keys of its microversion', async () => {
  await using api = await apiHarness();
  const { id } = (await make(api, { policies: ['anti-affinity'] })).body.server_group;
  const old = { id, name: 'web', policies: ['anti-affinity'], metadata: {}, members: [] };
  const owner = { project_id: PROJECTS.demo, user_id: 'user-demo' };
  const now = { id, name: 'web', policy: 'anti-affinity', rules: {}, members: [], ...owner };
  for (const [version, expected] of [
    ['2.1', old],
    ['2.12', old],
    ['2.13', { ...old, ...owner }],
    ['2.63', { ...old, ...owner }],
    ['2.64', now],
    ['2.93', now],
  ] as const) {
    assert.deepEqual(
      (await api.call('demo', 'GET', `/os-server-groups/${id}`, { version })).body.server_group,
      expected,
    );
    assert.deepEqual((await api.call('demo', 'GET', '/os-server-groups', { version })).body.server_groups, [expected]);
  }
});

test('policies are one of a list until 2.63, soft from 2.15 on, and a word with rules from 2.64 on', async () => {
  await using api = await apiHarness();
  assert.equal((await make(api, { policies: ['affinity'] })).status, 200);
  assert.equal((await make(api, { policies: ['soft-affinity'] }, '2.14')).status, 400);
  assert.equal((await make(api, { policies: ['soft-affinity'] }, '2.15')).status, 200);
  for (const policies of [[], ['affinity', 'anti-affinity'], ['unknown'], 'affinity'])
    assert.equal((await make(api, { policies }, '2.15')).status, 400);
  assert.equal((await make(api, { policy: 'affinity' }, '2.63')).status, 400);
  assert.equal((await make(api, { policies: ['affinity'] }, '2.64')).status, 400);
  const ruled = await make(api, { policy: 'anti-affinity', rules: { max_server_per_host: '3' } }, '2.64');
  assert.deepEqual(ruled.body.server_group.rules, { max_server_per_host: 3 });
  const refused = await make(api, { policy: 'affinity', rules: { max_server_per_host: 3 } }, '2.64');
  assert.equal(refused.status, 400);
  assert.equal(refused.body.badRequest.message, 'Only anti-affinity policy supports rules.');
  for (const rules of [{ max_server_per_host: 0 }, { max_server_per_host: 'many' }, { other: 1 }])
    assert.equal((await make(api, { policy: 'anti-affinity', rules }, '2.64')).status, 400);
});

test('groups are of the project; administrators see all on demand', async () => {
  await using api = await apiHarness();
  const { id } = (await make(api, { policies: ['affinity'] })).body.server_group;
  await make(api, { policies: ['affinity'] }, '2.1', 'other');
  const count = async (who: Caller, query = '') =>
    (await api.call(who, 'GET', `/os-server-groups${query}`)).body.server_groups.length;
  assert.deepEqual([await count('mate'), await count('demo', '?all_projects=1'), await count('admin')], [1, 1, 0]);
  assert.equal(await count('admin', '?all_projects'), 2);
  for (const method of ['GET', 'DELETE']) {
    const foreign = await api.call('other', method, `/os-server-groups/${id}`);
    assert.deepEqual(
      [foreign.status, foreign.body.itemNotFound.message],
      [404, `Instance group ${id} could not be found.`],
    );
  }
  assert.equal((await api.call('reader', 'DELETE', `/os-server-groups/${id}`)).status, 403);
  assert.equal((await make(api, { policies: ['affinity'] }, '2.1', 'reader')).status, 403);
  assert.equal((await api.call('mate', 'DELETE', `/os-server-groups/${id}`)).status, 204);
  assert.equal((await api.call('demo', 'GET', `/os-server-groups/${id}`)).status, 404);
});

test('lists are paged by limit and offset', async () => {
  await using api = await apiHarness();
  const made: string[] = [];
  for (const name of ['a', 'b', 'c']) {
    made.push((await make(api, { name, policies: ['affinity'] })).body.server_group.id);
    api.clock += 1;
  }
  const page = async (query: string) =>
    (await api.call('demo', 'GET', `/os-server-groups?${query}`)).body.server_groups.map(
      ({ id }: { id: string }) => id,
    );
  assert.deepEqual(await page('limit=2'), made.slice(0, 2));
  assert.deepEqual(await page('limit=2&offset=2'), made.slice(2));
  assert.equal((await api.call('demo', 'GET', '/os-server-groups?limit=-1')).status, 400);
  assert.equal((await api.call('demo', 'GET', '/os-server-groups?sort=x', { version: '2.75' })).status, 400);
});

test('a project has as many groups as its quota says', async () => {
  await using api = await apiHarness({ serverGroups: 2 });
  const answers = await Promise.all(Array.from({ length: 5 }, () => make(api, { policies: ['affinity'] })));
  assert.deepEqual(answers.map(({ status }) => status).toSorted(), [200, 200, 403, 403, 403]);
  const refused = answers.find(({ status }) => status === 403);
  assert.equal(refused?.body.forbidden.message, 'Quota exceeded, too many server groups.');
  assert.equal((await make(api, { policies: ['affinity'] }, '2.1', 'other')).status, 200);
});

test('members are servers that are not deleted, and no more than the quota', async () => {
  await using api = await apiHarness();
  const { id } = (await make(api, { policies: ['affinity'] })).body.server_group;
  const members = async () => (await api.call('demo', 'GET', `/os-server-groups/${id}`)).body.server_group.members;
  const first = await api.add();
  api.clock += 1;
  const second = await api.add();
  await join(api, id, first, 2);
  await join(api, id, second, 2);
  assert.deepEqual(await members(), [first, second]);
  const third = await api.add();
  await assert.rejects(join(api, id, third, 2), { code: 'forbidden', message: /too many servers in group/ });
  await api.db.queries.updateTable('servers').set({ deleted_at: 1 }).where('id', '=', first).execute();
  assert.deepEqual(await members(), [second]);
  await join(api, id, third, 2);
  assert.deepEqual((await members()).toSorted(), [second, third].toSorted());
  const rows = await api.db.queries.selectFrom('server_group_members').select('server_id').execute();
  assert.equal(rows.length, 2, 'the deleted one left nothing');
});

test('a launch into a group makes a member; an unknown, foreign or full group is refused', async () => {
  await using api = await apiHarness({ serverGroupMembers: 2 });
  const { id } = (await make(api, { policies: ['affinity'] })).body.server_group;
  const foreign = (await make(api, { policies: ['affinity'] }, '2.1', 'other')).body.server_group.id;
  const launch = (hints: object, more: object = {}, key = 'os:scheduler_hints') =>
    api.call('demo', 'POST', '/servers', {
      body: {
        server: { name: 'in', imageRef: '11111111-1111-4111-8111-111111111111', flavorRef: '42', ...more },
        [key]: hints,
      },
    });
  for (const group of [randomUUID(), foreign]) {
    const refused = await launch({ group });
    assert.equal(refused.status, 400, refused.text);
    assert.equal(refused.body.badRequest.message, `Instance group ${group} could not be found.`);
  }
  assert.equal((await launch({ group: 'no uuid' })).status, 400);
  const launched = await launch({ group: id, other_hint: ['x'] }, { return_reservation_id: false });
  assert.equal(launched.status, 202, launched.text);
  const server = launched.body.server.id;
  assert.deepEqual((await api.call('demo', 'GET', `/os-server-groups/${id}`)).body.server_group.members, [server]);
  const [operation] = await api.db.queries.selectFrom('operations').select('input').execute();
  assert.equal(JSON.parse(operation?.input ?? '').serverGroupId, id);

  const over = await launch({ group: id }, { min_count: 2 });
  assert.deepEqual([over.status, over.body.forbidden.message], [403, 'Quota exceeded, too many servers in group']);
  assert.equal((await launch({ group: id }, {}, 'OS-SCH-HNT:scheduler_hints')).status, 202);
  assert.equal((await api.call('demo', 'GET', '/servers')).body.servers.length, 2, 'the refused launch left nothing');

  const shown = await api.call('demo', 'GET', `/servers/${server}`, { version: '2.71' });
  assert.deepEqual(shown.body.server.server_groups, [id]);
  const alone = await api.call('demo', 'GET', `/servers/${await api.add()}`, { version: '2.71' });
  assert.deepEqual(alone.body.server.server_groups, []);
});
