import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { insertFlavor } from '#db/repo/flavors.ts';
import { openSqlite } from '#db/sqlite.ts';
import { AnswerMemo } from './answer-memo.ts';

const FLAVOR = {
  id: 'f',
  name: 'f',
  vcpus: 1,
  memory_mib: 1,
  disk_gib: 1,
  ephemeral_gib: 0,
  swap_mib: 0,
  rxtx_factor: 1,
  is_public: 1,
  disabled: 0,
  description: null,
  extra_specs: '{}',
  created_at: 0,
} as const;

test('an answer is made again after any change of the record, also one that was not committed', async () => {
  const db = await openSqlite(':memory:');
  const memo = new AnswerMemo(db);
  let made = 0;
  const ask = async (key = 'list') => String(await memo.answer(key, async () => `answer ${++made}`));
  assert.equal(await ask(), 'answer 1');
  assert.equal(await ask(), 'answer 1');
  assert.equal(await ask('another list'), 'answer 2');
  await insertFlavor(db.queries, FLAVOR);
  assert.equal(await ask(), 'answer 3');
  await assert.rejects(
    db.transaction(async (trx) => {
      await trx.deleteFrom('flavors').execute();
      throw new Error('rolled back');
    }),
  );
  assert.equal(await ask(), 'answer 4');
  assert.equal(await ask(), 'answer 4');
  await db.close();
});

test('a change while the answer is being read makes it old', async () => {
  const db = await openSqlite(':memory:');
  const memo = new AnswerMemo(db);
  const slow = await memo.answer('list', async () => {
    await insertFlavor(db.queries, FLAVOR);
    return 'perhaps without the flavor';
  });
  assert.equal(String(slow), 'perhaps without the flavor');
  assert.equal(String(await memo.answer('list', async () => 'with the flavor')), 'with the flavor');
  await db.close();
});

test('a change by another process makes it old', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'micronova-memo-'));
  const path = join(folder, 'record.sqlite');
  const [ours, theirs] = [await openSqlite(path), await openSqlite(path)];
  const memo = new AnswerMemo(ours);
  await memo.answer('list', async () => 'before');
  assert.equal(String(await memo.answer('list', async () => 'before, again')), 'before');
  await insertFlavor(theirs.queries, FLAVOR);
  assert.equal(String(await memo.answer('list', async () => 'after')), 'after');
  await Promise.all([ours.close(), theirs.close()]);
  await rm(folder, { recursive: true });
});

test('a record that cannot name its state makes every answer anew', async () => {
  const db = await openSqlite(':memory:');
  const memo = new AnswerMemo({ ...db, revision: () => null });
  await memo.answer('list', async () => 'first');
  assert.equal(String(await memo.answer('list', async () => 'second')), 'second');
  await db.close();
});
