/** A record that is cleaned keeps what is young, and what lives. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { insertOperation } from '#db/repo/operations.ts';
import { forgetServers } from '#db/repo/retention.ts';
import { openSqlite } from '#db/sqlite.ts';
import type { ServerRow } from '#db/tables/compute.ts';

const NOW = 1_000_000;

test('servers deleted before the cutoff go with their operations and journal; all others stay', async () => {
  const db = await openSqlite(':memory:');
  try {
    for (const [id, deletedAt] of Object.entries({ alive: null, young: NOW, old: NOW - 2, older: NOW - 3 })) {
      await db.queries.insertInto('servers').values(server(id, deletedAt)).execute();
      const operation = {
        id: `op-${id}`,
        kind: 'create',
        version: 1,
        serverId: id,
        projectId: 'p',
        userId: 'u',
      } as const;
      await insertOperation(db.queries, { ...operation, requestId: 'req', input: {}, secrets: {} }, NOW);
      const entry = { operation_id: `op-${id}`, seq: 1, step: 's', event: 'done', data: null, at: NOW } as const;
      await db.queries.insertInto('journal').values(entry).execute();
    }
    assert.equal(await forgetServers(db, NOW - 1, 1), 1, 'no more than asked for at once');
    assert.equal(await forgetServers(db, NOW - 1, 10), 1);
    assert.equal(await forgetServers(db, NOW - 1, 10), 0);
    const left = async (table: 'servers' | 'operations') =>
      (await db.queries.selectFrom(table).select('id').orderBy('id').execute()).map(({ id }) => id);
    assert.deepEqual(await left('servers'), ['alive', 'young']);
    assert.deepEqual(await left('operations'), ['op-alive', 'op-young']);
    const journal = await db.queries.selectFrom('journal').select('operation_id').orderBy('operation_id').execute();
    assert.deepEqual(
      journal.map(({ operation_id }) => operation_id),
      ['op-alive', 'op-young'],
    );
  } finally {
    await db.close();
  }
});

function server(id: string, deletedAt: number | null): ServerRow {
  return {
    id,
    project_id: 'p',
    user_id: 'u',
    name: id,
    hostname: id,
    description: null,
    image_id: 'i',
    flavor: '{}',
    key_name: null,
    public_key: null,
    user_data: null,
    metadata: '{}',
    tags: '[]',
    config_drive: 0,
    nics: '[]',
    availability_zone: null,
    host: null,
    reservation_id: 'r',
    launch_index: 0,
    vm_state: deletedAt === null ? 'active' : 'deleted',
    task_state: null,
    power_state: 0,
    progress: 0,
    fault: null,
    locked: 0,
    locked_reason: null,
    access_ip_v4: '',
    access_ip_v6: '',
    disk_config: 'AUTO',
    operation_id: null,
    launched_at: null,
    terminated_at: null,
    created_at: 1,
    updated_at: 1,
    deleted_at: deletedAt,
    version: 1,
  };
}
