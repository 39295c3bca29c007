/** Moves as operators see them: keys by microversion, filters, pages; and those of a server that are live: shown and ended. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { insertOperation } from '#db/repo/operations.ts';
import type { ServerMigrationRow } from '#db/tables/compute.ts';
import { type ApiHarness, apiHarness, PROJECTS } from '../api-harness.ts';

const FLAVOR = JSON.stringify({ id: '42', name: 'm1.nano' });

/** Writes the row of a move; answers it. */
async function move(api: ApiHarness, columns: Partial<ServerMigrationRow> = {}): Promise<ServerMigrationRow> {
  const before = await api.db.queries.selectFrom('server_migrations').select('id').execute();
  const row: ServerMigrationRow = {
    id: before.length + 1,
    uuid: randomUUID(),
    server_id: randomUUID(),
    project_id: PROJECTS.demo,
    user_id: 'user-admin',
    type: 'migration',
    status: 'finished',
    source_host: 'one',
    dest_host: 'two',
    old_flavor: FLAVOR,
    new_flavor: JSON.stringify({ id: randomUUID(), name: 'custom' }),
    operation_id: null,
    created_at: api.clock,
    updated_at: api.clock,
    ...columns,
  };
  await api.db.queries.insertInto('server_migrations').values(row).execute();
  return row;
}

/** An operation in flight; answers its id. */
async function operation(api: ApiHarness, serverId: string, progress: object | null): Promise<string> {
  const id = randomUUID();
  const asked = { projectId: PROJECTS.demo, userId: 'user-admin', requestId: `req-${id}` };
  await insertOperation(
    api.db.queries,
    { id, kind: 'migrate', version: 1, serverId, ...asked, input: {}, secrets: {} },
    api.clock,
  );
  await api.db.queries
    .updateTable('operations')
    .set({ progress: progress && JSON.stringify(progress) })
    .where('id', '=', id)
    .execute();
  return id;
}

const get = async (api: ApiHarness, path: string, version = '2.1') => {
  const { status, body, text } = await api.call('admin', 'GET', path, { version });
  assert.equal(status, 200, text);
  return body;
};

const KEYS = [
  'created_at',
  'dest_compute',
  'dest_host',
  'dest_node',
  'id',
  'instance_uuid',
  'new_instance_type_id',
  'old_instance_type_id',
  'source_compute',
  'source_node',
  'status',
  'updated_at',
];

test('a move has exactly the keys of its microversion; links only while a live one goes on', async () => {
  await using api = await apiHarness();
  const cold = await move(api);
  for (const [version, more] of [
    ['2.1', []],
    ['2.22', []],
    ['2.23', ['migration_type']],
    ['2.59', ['migration_type', 'uuid']],
    ['2.80', ['migration_type', 'project_id', 'user_id', 'uuid']],
  ] as const) {
    const [shown] = (await get(api, '/os-migrations', version)).migrations;
    assert.deepEqual(Object.keys(shown).toSorted(), [...KEYS, ...more].toSorted(), version);
    assert.deepEqual([shown.id, shown.old_instance_type_id, shown.new_instance_type_id], [cold.id, 42, null]);
    assert.equal(shown.created_at, '2026-01-02T03:04:05.000000');
  }
  const live = await move(api, { type: 'live-migration', status: 'running' });
  const shown = (await get(api, '/os-migrations?migration_type=live-migration', '2.23')).migrations;
  const href = `servers/${live.server_id}/migrations/${live.id}`;
  assert.deepEqual(
    shown.map(({ links }: { links: unknown }) => links),
    [
      [
        { rel: 'self', href: `http://cloud.example/compute/v2.1/${href}` },
        { rel: 'bookmark', href: `http://cloud.example/compute/${href}` },
      ],
    ],
  );
});

test('lists are filtered as operators ask', async () => {
  await using api = await apiHarness();
  const first = await move(api, { source_host: 'one', dest_host: 'two', user_id: 'somebody' });
  api.clock += 60_000;
  const second = await move(api, { source_host: 'two', dest_host: null, status: 'error', type: 'resize' });
  const ids = async (query: string, version = '2.80') =>
    (await get(api, `/os-migrations?${query}`, version)).migrations.map(({ id }: { id: number }) => id);
  assert.deepEqual(await ids(''), [second.id, first.id]);
  assert.deepEqual(await ids('host=two'), [second.id, first.id]);
  assert.deepEqual(await ids('host=one'), [first.id]);
  assert.deepEqual(await ids('source_compute=two'), [second.id]);
  assert.deepEqual(await ids('status=error'), [second.id]);
  assert.deepEqual(await ids('migration_type=migration'), [first.id]);
  assert.deepEqual(await ids(`instance_uuid=${first.server_id}`), [first.id]);
  assert.deepEqual(await ids('user_id=somebody'), [first.id]);
  assert.deepEqual(await ids(`project_id=${PROJECTS.other}`), []);
  assert.deepEqual(await ids('changes-since=2026-01-02T03:04:30Z'), [second.id]);
  assert.deepEqual(await ids('changes-before=2026-01-02T03:04:30Z'), [first.id]);
  assert.deepEqual(await ids('changes-since=2026-01-02T03:04:30Z', '2.58'), [second.id, first.id], 'not known yet');
  const status = async (query: string, version: string) =>
    (await api.call('admin', 'GET', `/os-migrations?${query}`, { version })).status;
  assert.equal(await status('changes-since=yesterday', '2.59'), 400);
  assert.equal(await status('changes-before=2026-01-02T03:04:30Z', '2.65'), 400);
  assert.equal(await status('changes-since=2026-02-01T00:00:00Z&changes-before=2026-01-01T00:00:00Z', '2.66'), 400);
  assert.equal(await status('user_id=x', '2.79'), 400);
  assert.equal(await status('foo=x', '2.58'), 200);
  assert.equal((await api.call('demo', 'GET', '/os-migrations')).status, 403);
});

test('from 2.59 on they come in pages', async () => {
  await using api = await apiHarness();
  const moves = [await move(api), await move(api), await move(api)];
  const seen: number[] = [];
  for (let path: string | undefined = '/os-migrations?limit=2'; path; ) {
    const body: { migrations: { id: number }[]; migrations_links?: { href: string }[] } = await get(api, path, '2.59');
    seen.push(...body.migrations.map(({ id }) => id));
    path = body.migrations_links?.[0]?.href.split('/v2.1')[1];
  }
  assert.deepEqual(seen, moves.map(({ id }) => id).toReversed());
  assert.equal((await api.call('admin', 'GET', '/os-migrations?marker=none', { version: '2.59' })).status, 400);
});

test('of a server only live ones that go on are shown, with their bytes', async () => {
  await using api = await apiHarness();
  const server = await api.add({ task_state: 'migrating' });
  const cold = await move(api, { server_id: server });
  const over = await move(api, { server_id: server, type: 'live-migration', status: 'completed' });
  const progress = { step: 'copyMemory', done: 30, total: 100, unit: 'bytes' };
  const operationId = await operation(api, server, progress);
  const live = await move(api, {
    server_id: server,
    type: 'live-migration',
    status: 'running',
    operation_id: operationId,
  });
  const path = `/servers/${server}/migrations`;
  const { migrations } = await get(api, path, '2.80');
  assert.equal(migrations.length, 1);
  assert.deepEqual((await get(api, `${path}/${live.id}`, '2.80')).migration, migrations[0]);
  const { memory_total_bytes, memory_processed_bytes, memory_remaining_bytes, disk_total_bytes } = migrations[0];
  assert.deepEqual(
    [memory_total_bytes, memory_processed_bytes, memory_remaining_bytes, disk_total_bytes],
    [100, 30, 70, 0],
  );
  const keys = (version: string) =>
    get(api, `${path}/${live.id}`, version).then(({ migration }) => Object.keys(migration).length);
  assert.deepEqual([await keys('2.23'), await keys('2.59'), await keys('2.80')], [16, 17, 19]);
  const status = async (id: unknown, version = '2.23') =>
    (await api.call('admin', 'GET', `${path}/${id}`, { version })).status;
  assert.deepEqual([await status(cold.id), await status(over.id), await status('x')], [404, 404, 404]);
  assert.equal(await status(live.id, '2.22'), 404);
  assert.equal((await api.call('demo', 'GET', path, { version: '2.23' })).status, 403);
});

test('a live one is ended by cancelling its operation; one that is queued only from 2.65 on', async () => {
  await using api = await apiHarness();
  const server = await api.add({ task_state: 'migrating' });
  const operationId = await operation(api, server, null);
  const live = await move(api, {
    server_id: server,
    type: 'live-migration',
    status: 'preparing',
    operation_id: operationId,
  });
  const cold = await move(api, { server_id: server, status: 'migrating', operation_id: operationId });
  const abort = async (id: unknown, version: string) =>
    (await api.call('admin', 'DELETE', `/servers/${server}/migrations/${id}`, { version })).status;
  const reason = async () =>
    (await api.db.queries.selectFrom('operations').select('cancel_reason').executeTakeFirstOrThrow()).cancel_reason;
  const becomes = (status: ServerMigrationRow['status']) =>
    api.db.queries.updateTable('server_migrations').set({ status }).where('id', '=', live.id).execute();
  assert.equal(await abort(live.id, '2.23'), 404, 'there is no such route');
  assert.equal(await abort(live.id, '2.64'), 400);
  assert.equal(await abort(cold.id, '2.65'), 404);
  await becomes('post-migrating');
  assert.equal(await abort(live.id, '2.65'), 400);
  await becomes('running');
  assert.equal(await reason(), null);
  assert.equal(await abort(live.id, '2.24'), 202);
  assert.equal(await reason(), 'admin asked for it');
  await api.db.queries.updateTable('operations').set({ finished_at: api.clock }).execute();
  assert.equal(await abort(live.id, '2.24'), 400, 'it has ended');
  await api.db.queries.updateTable('servers').set({ task_state: null }).execute();
  assert.equal(await abort(live.id, '2.24'), 409);
});

test('a live one that runs is brought to its end by its source', async () => {
  await using api = await apiHarness();
  const server = await api.add({ task_state: 'migrating' });
  const live = await move(api, { server_id: server, type: 'live-migration', status: 'preparing', source_host: 'here' });
  const cold = await move(api, { server_id: server, status: 'migrating' });
  const force = async (id: unknown, body: object = { force_complete: null }, version = '2.22') =>
    (await api.call('admin', 'POST', `/servers/${server}/migrations/${id}/action`, { version, body })).status;
  assert.equal(await force(live.id), 400, 'it has not begun');
  await api.db.queries.updateTable('server_migrations').set({ status: 'running' }).execute();
  assert.equal(await force(cold.id), 400);
  assert.equal(await force('x'), 400);
  assert.equal(await force(live.id, { force_complete: {} }), 400);
  assert.equal(await force(live.id, { force_complete: null }, '2.21'), 404);
  assert.deepEqual(api.hurried, []);
  assert.equal(await force(live.id), 202);
  assert.deepEqual(api.hurried, [`here ${server}`]);
});
