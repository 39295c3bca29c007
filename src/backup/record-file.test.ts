/** The record goes into a file and comes out of it the same, and no table is forgotten. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openSqlite } from '#db/sqlite.ts';
import { KEPT, LEFT_OUT, readRecord, writeRecord } from './record-file.ts';

test('every table of the record is kept, or left out on purpose', async () => {
  const db = await openSqlite(':memory:');
  const tables = (await db.queries.introspection.getTables()).map(({ name }) => name);
  assert.deepEqual(tables.toSorted(), [...KEPT.map(([table]) => table), ...LEFT_OUT].toSorted());
  await db.close();
});

test('rows of many pages, with every kind of value, come out as they went in', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'micronova-record-'));
  const path = join(dir, 'record');
  const [from, to] = [await openSqlite(':memory:'), await openSqlite(':memory:')];
  const projects = Array.from({ length: 1_203 }, (_, index) => ({
    id: `p${index}`,
    name: `${index} \u2028 "quoted"\n`,
    description: '',
    enabled: index % 2,
    created_at: 2 ** 45 + index,
  }));
  await from.transaction(async (trx) => {
    for (const project of projects) await trx.insertInto('projects').values(project).execute();
    const user = { id: 'u', name: 'u', enabled: 1, created_at: 1, password_hash: null };
    const nothing = { default_project_id: null, email: null, description: null };
    await trx
      .insertInto('users')
      .values({ ...user, ...nothing })
      .execute();
  });
  let seen = 0;
  await from.read((trx) => writeRecord(trx, path, () => (seen += 1)));
  assert.equal(seen, projects.length + 1);
  await to.transaction((trx) => readRecord(trx, path, ({ row }) => row.id !== 'p7'));
  const all = await to.queries.selectFrom('projects').selectAll().orderBy('created_at').execute();
  assert.deepEqual(
    all.map((row) => ({ ...row })),
    projects.filter(({ id }) => id !== 'p7'),
  );
  assert.equal((await to.queries.selectFrom('users').selectAll().executeTakeFirst())?.password_hash, null);
  for (const each of [from, to]) await each.close();
  await rm(dir, { recursive: true });
});
