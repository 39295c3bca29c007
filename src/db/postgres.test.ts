/** PostgreSQL conforms; transactions that meet, values, migrations by several at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from 'kysely';
import { databaseConformance } from './conformance.ts';
import type { Database, Queries } from './database.ts';
import { groupCommit } from './group-commit.ts';
import { openPostgres } from './postgres.ts';
import { emptyDatabase, openTestPostgres } from './testing/test-database.ts';

databaseConformance('PostgreSQL', openTestPostgres);

const addMessage = (db: Queries, id: string) =>
  db.insertInto('outbox').values({ id, message: '{}', created_at: 1 }).execute();
const messages = async (db: Database) =>
  (await db.queries.selectFrom('outbox').select('id').orderBy('id').execute()).map(({ id }) => id);

/** Work that counts and adds, and lets another one do the same in between, the first time. */
function meeting(db: Database) {
  const seen = { runs: 0 };
  const work = async (trx: Queries) => {
    seen.runs += 1;
    const { length } = await trx.selectFrom('outbox').select('id').execute();
    if (seen.runs === 1)
      await db.transaction(async (other) => {
        const before = await other.selectFrom('outbox').select('id').execute();
        await addMessage(other, `theirs ${before.length}`);
      });
    await addMessage(trx, `ours ${length}`);
    return length;
  };
  return { seen, work };
}

test('a transaction that cannot be placed behind another is run again, and counts anew', async () => {
  const db = await openTestPostgres();
  const { seen, work } = meeting(db);
  assert.equal(await db.transaction(work), 1);
  assert.deepEqual([seen.runs, await messages(db)], [2, ['ours 1', 'theirs 0']]);
  await db.close();
});

test('pieces of a group that is run again answer what was committed', async () => {
  const db = await openTestPostgres();
  const { seen, work } = meeting(db);
  const commit = groupCommit(db.transaction);
  const other = async (trx: Queries) => (await trx.selectFrom('outbox').select('id').execute()).length;
  assert.deepEqual(await Promise.all([commit(other), commit(work), commit(other)]), [1, 1, 2]);
  assert.deepEqual([seen.runs, await messages(db)], [2, ['ours 1', 'theirs 0']]);
  await db.close();
});

test('an error that was caught inside does not pass for a commit', async () => {
  const db = await openTestPostgres();
  const swallowing = db.transaction(async (trx) => {
    await addMessage(trx, 'a');
    await addMessage(trx, 'a').catch(() => undefined);
  });
  await assert.rejects(swallowing, /rolled back/);
  assert.deepEqual(await messages(db), []);
  await db.close();
});

test('what PostgreSQL cannot keep is an error that says so', async () => {
  const db = await openTestPostgres();
  await assert.rejects(addMessage(db.queries, 'a\0b'), { code: 'badRequest' });
  const large = db.queries
    .selectFrom('images')
    .select('id')
    .where('min_ram', '=', 2 ** 40);
  await assert.rejects(large.execute(), { code: 'badRequest' });
  const insert = db.queries.insertInto('outbox').values({ id: 'a', message: '{}', created_at: Number.NaN });
  await assert.rejects(insert.execute(), TypeError);
  await db.close();
});

test('text is ordered by its bytes, though the server’s own order is another', async () => {
  const db = await openTestPostgres();
  for (const id of ['b', 'B', 'a', 'é', '_']) await addMessage(db.queries, id);
  assert.deepEqual(await messages(db), ['B', '_', 'a', 'b', 'é']);
  const { rows } = await sql<{ order: string }>`
    select string_agg(id, '' order by id collate "default") as order from outbox`.execute(db.queries);
  assert.equal(rows[0]?.order, '_abBé');
  await db.close();
});

test('two processes that start at once on an empty database both find it migrated', async () => {
  const url = await emptyDatabase();
  const [one, other, third] = await Promise.all([openPostgres(url), openPostgres(url), openPostgres(url)]);
  await addMessage(one.queries, 'a');
  assert.deepEqual(await messages(other), ['a']);
  const { rows } = await sql`select collation_name from information_schema.columns
    where table_schema = 'public' and data_type = 'text' and collation_name is distinct from 'C'`.execute(
    third.queries,
  );
  assert.deepEqual(rows, []);
  for (const db of [one, other, third]) await db.close();
});

test('a database that a newer version changed is refused, and not touched', async () => {
  const url = await emptyDatabase();
  const db = await openPostgres(url);
  await sql`insert into kysely_migration (name, timestamp) values ('9999-later', '2100-01-01')`.execute(db.queries);
  await assert.rejects(openPostgres(url), { code: 'databaseNewer', message: /newer version.*9999-later/ });
  await addMessage(db.queries, 'still served');
  assert.deepEqual(await messages(db), ['still served']);
  await db.close();
});
