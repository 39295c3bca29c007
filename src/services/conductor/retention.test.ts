/** A record that is cleaned keeps what is young, and what lives. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import pino from 'pino';
import { insertConsoleToken } from '#db/repo/console-tokens.ts';
import { insertOperation, recordAction } from '#db/repo/operations.ts';
import { forgetServers } from '#db/repo/retention.ts';
import { addServer } from '#db/testing/server-row.ts';
import { openTestDatabase } from '#db/testing/test-database.ts';
import { Retention } from './retention.ts';

const NOW = 1_000_000;

test('servers deleted before the cutoff go with their operations and journal; all others stay', async () => {
  const db = await openTestDatabase();
  try {
    const group = { id: 'group', project_id: 'p', user_id: 'u', name: 'g', policy: 'affinity', rules: '{}' } as const;
    await db.queries
      .insertInto('server_groups')
      .values({ ...group, created_at: 1 })
      .execute();
    for (const [id, deletedAt] of Object.entries({ alive: null, young: NOW, old: NOW - 2, older: NOW - 3 })) {
      await addServer(db, { id, vm_state: deletedAt === null ? 'active' : 'deleted', deleted_at: deletedAt });
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
      await db.queries.insertInto('server_group_members').values({ server_id: id, group_id: 'group' }).execute();
      await insertConsoleToken(db.queries, { server_id: id, kind: 'novnc', expires_at: NOW + 1 }, NOW);
    }
    assert.equal(await forgetServers(db, NOW - 1, 1), 1, 'no more than asked for at once');
    assert.equal(await forgetServers(db, NOW - 1, 10), 1);
    assert.equal(await forgetServers(db, NOW - 1, 10), 0);
    const left = async (table: 'servers' | 'operations') =>
      (await db.queries.selectFrom(table).select('id').orderBy('id').execute()).map(({ id }) => id);
    assert.deepEqual(await left('servers'), ['alive', 'young']);
    assert.deepEqual(await left('operations'), ['op-alive', 'op-young']);
    for (const table of ['server_group_members', 'console_tokens'] as const) {
      const rows = await db.queries.selectFrom(table).select('server_id').orderBy('server_id').execute();
      assert.deepEqual(
        rows.map(({ server_id }) => server_id),
        ['alive', 'young'],
      );
    }
    const journal = await db.queries.selectFrom('journal').select('operation_id').orderBy('operation_id').execute();
    assert.deepEqual(
      journal.map(({ operation_id }) => operation_id),
      ['op-alive', 'op-young'],
    );
  } finally {
    await db.close();
  }
});

test('a pass keeps the newest 500 ended operations of a living server and all open ones, and no expired token', async () => {
  const db = await openTestDatabase();
  try {
    await addServer(db, { id: 'alive' });
    const past = { projectId: 'p', userId: 'u', requestId: 'r', details: 'why', error: null, kind: 'stop' } as const;
    const ids = { version: 1, serverId: 'alive', projectId: 'p', userId: 'u', requestId: 'r' };
    await insertOperation(db.queries, { ...ids, id: 'open', kind: 'create', input: {}, secrets: {} }, 1);
    await db.transaction(async (trx) => {
      for (let at = 2; at < 622; at += 1) await recordAction(trx, { ...past, serverId: 'alive' }, at);
      for (let at = 2; at < 502; at += 1) await recordAction(trx, { ...past, serverId: 'quiet' }, at);
    });
    for (const expires_at of [Date.now() - 1, Date.now() + 100_000])
      await insertConsoleToken(db.queries, { server_id: 'alive', kind: 'novnc', expires_at }, 1);
    const retention = new Retention({ db, log: pino({ level: 'silent' }), keepDays: 1 });
    retention.start();
    await retention.close();
    const times = async (id: string) => {
      const query = db.queries.selectFrom('operations').select('created_at').where('server_id', '=', id);
      return (await query.orderBy('created_at').execute()).map(({ created_at }) => created_at);
    };
    assert.deepEqual(await times('alive'), [1, ...Array.from({ length: 500 }, (_, index) => 122 + index)]);
    assert.equal((await times('quiet')).length, 500);
    const { journal } = await db.queries
      .selectFrom('journal')
      .select((e) => e.fn.countAll<number>().as('journal'))
      .executeTakeFirstOrThrow();
    assert.equal(journal, 1000);
    assert.equal((await db.queries.selectFrom('console_tokens').selectAll().execute()).length, 1);
  } finally {
    await db.close();
  }
});
