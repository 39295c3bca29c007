/** SQLite conforms, in memory and in a file; and the data folder has one process. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { databaseConformance } from './conformance.ts';
import { lockFile, openSqlite } from './sqlite.ts';

const dir = await mkdtemp(join(tmpdir(), 'micronova-db-'));
after(() => rm(dir, { recursive: true }));
let files = 0;

databaseConformance('SQLite in memory', () => openSqlite(':memory:'));
databaseConformance('SQLite in a file', () => openSqlite(join(dir, `${files++}.sqlite`)));

test('what was committed is there after opening again', async () => {
  const path = join(dir, 'again.sqlite');
  const first = await openSqlite(path);
  await first.queries.insertInto('outbox').values({ id: 'a', message: '{}', created_at: 1 }).execute();
  await first.close();
  const second = await openSqlite(path);
  assert.equal((await second.queries.selectFrom('outbox').selectAll().execute()).length, 1);
  await second.close();
});

test('another process writes while one reads at one moment', async () => {
  const path = join(dir, 'two.sqlite');
  const [reader, writer] = [await openSqlite(path), await openSqlite(path)];
  const count = (rows: readonly unknown[]) => rows.length;
  await reader.read(async (trx) => {
    assert.equal(count(await trx.selectFrom('outbox').selectAll().execute()), 0);
    await writer.transaction((other) =>
      other.insertInto('outbox').values({ id: 'a', message: '{}', created_at: 1 }).execute(),
    );
    assert.equal(count(await trx.selectFrom('outbox').selectAll().execute()), 0);
  });
  assert.equal(count(await reader.queries.selectFrom('outbox').selectAll().execute()), 1);
  for (const each of [reader, writer]) await each.close();
});

test('a value that SQLite would store as NULL is an error', async () => {
  const db = await openSqlite(':memory:');
  const insert = db.queries.insertInto('outbox').values({ id: 'a', message: '{}', created_at: Number.NaN });
  await assert.rejects(insert.execute(), TypeError);
  await db.close();
});

test('a data folder is locked for one, and free when that one lets go', () => {
  const path = join(dir, 'lock.sqlite');
  const lock = lockFile(path);
  assert.ok(lock);
  assert.equal(lockFile(path), null);
  lock.release();
  const next = lockFile(path);
  assert.ok(next);
  next.release();
});
