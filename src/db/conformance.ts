/**
 * What the record must do whatever engine keeps it: transactions, their isolation, group commit, the journal's fencing.
 * `open` gives an empty, migrated database.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { type LeasedOperation, LeaseLost } from '#journal/store.ts';
import type { Database, Queries } from './database.ts';
import { groupCommit } from './group-commit.ts';
import { migrate } from './migrate.ts';
import { journalStore } from './repo/journal-store.ts';
import { insertOperation } from './repo/operations.ts';

export type OpenDatabase = () => Promise<Database>;

export function databaseConformance(name: string, open: OpenDatabase): void {
  describe(`database: ${name}`, () => {
    transactionTests(open);
    groupCommitTests(open);
    fencingTests(open);
  });
}

const addMessage = (db: Queries, id: string) =>
  db.insertInto('outbox').values({ id, message: '{}', created_at: 1 }).execute();

const messages = async (db: Database) =>
  (await db.queries.selectFrom('outbox').select('id').orderBy('id').execute()).map(({ id }) => id);

const turn = () => new Promise((resolve) => setImmediate(resolve));

function transactionTests(open: OpenDatabase): void {
  test('migrating again changes nothing', async () => {
    const db = await open();
    await addMessage(db.queries, 'kept');
    await migrate(db.queries);
    assert.deepEqual(await messages(db), ['kept']);
    await db.close();
  });

  test('a transaction that throws leaves nothing', async () => {
    const db = await open();
    const failing = db.transaction(async (trx) => {
      await addMessage(trx, 'a');
      throw new Error('no');
    });
    await assert.rejects(failing, /no/);
    assert.deepEqual(await messages(db), []);
    await db.transaction((trx) => addMessage(trx, 'b'));
    assert.deepEqual(await messages(db), ['b']);
    await db.close();
  });

  test('what reads at one moment does not see what is written after it', async () => {
    const db = await open();
    await addMessage(db.queries, 'before');
    const ids = (rows: readonly { id: string }[]) => rows.map(({ id }) => id);
    await db.read(async (trx) => {
      assert.deepEqual(ids(await trx.selectFrom('outbox').select('id').execute()), ['before']);
      const after = db.transaction((other) => addMessage(other, 'after'));
      // Where there is one connection the other waits for it.
      if (db.runsSideBySide) await after;
      else after.catch(() => undefined);
      assert.deepEqual(ids(await trx.selectFrom('outbox').select('id').execute()), ['before']);
    });
    await db.transaction((trx) => addMessage(trx, 'last'));
    assert.deepEqual(await messages(db), ['after', 'before', 'last']);
    await db.close();
  });

  test('what is not part of a transaction is not rolled back with it', async () => {
    const db = await open();
    const begun = Promise.withResolvers<void>();
    const failing = db.transaction(async (trx) => {
      await addMessage(trx, 'inside');
      begun.resolve();
      await turn();
      throw new Error('no');
    });
    await begun.promise;
    const outside = addMessage(db.queries, 'outside');
    await assert.rejects(failing);
    await outside;
    assert.deepEqual(await messages(db), ['outside']);
    await db.close();
  });

  test('two transactions that count do not count the same', async () => {
    const db = await open();
    const add = () =>
      db.transaction(async (trx) => {
        const { length } = await trx.selectFrom('outbox').select('id').execute();
        await turn();
        await addMessage(trx, `message ${length}`);
      });
    await Promise.all(Array.from({ length: 10 }, add));
    assert.equal((await messages(db)).length, 10);
    await db.close();
  });

  test('a second row of the same key is told from other errors', async () => {
    const db = await open();
    await addMessage(db.queries, 'same');
    await assert.rejects(addMessage(db.queries, 'same'), (error) => db.isUniqueViolation(error));
    assert.equal(db.isUniqueViolation(new Error('another')), false);
    await db.close();
  });
}

function groupCommitTests(open: OpenDatabase): void {
  test('pieces that wait together share one commit', async () => {
    const db = await open();
    let commits = 0;
    const commit = groupCommit((work) => {
      commits += 1;
      return db.transaction(work);
    });
    await Promise.all(['a', 'b', 'c'].map((id) => commit((trx) => addMessage(trx, id))));
    assert.deepEqual([await messages(db), commits], [['a', 'b', 'c'], 1]);
    await commit((trx) => addMessage(trx, 'd'));
    assert.equal(commits, 2);
    await db.close();
  });

  test('a piece whose guard says no does not touch the others', async () => {
    const db = await open();
    const { commit } = db;
    const lost = async () => {
      throw new LeaseLost('not yours');
    };
    const results = await Promise.allSettled([
      commit((trx) => addMessage(trx, 'a')),
      commit(lost),
      commit((trx) => addMessage(trx, 'b')),
    ]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
    assert.deepEqual(await messages(db), ['a', 'b']);
    await db.close();
  });

  test('a piece that fails half-way is rolled back alone', async () => {
    const db = await open();
    const { commit } = db;
    let tries = 0;
    const results = await Promise.allSettled([
      commit((trx) => addMessage(trx, 'a')),
      commit(async (trx) => {
        tries += 1;
        await addMessage(trx, 'half');
        throw new Error('broken');
      }),
      commit((trx) => addMessage(trx, 'b')),
    ]);
    assert.deepEqual(
      results.map((result) => (result.status === 'rejected' ? String(result.reason) : 'ok')),
      ['ok', 'Error: broken', 'ok'],
    );
    assert.deepEqual([await messages(db), tries], [['a', 'b'], 2]);
    await db.close();
  });
}

const LEASE_MS = 1_000;
const OPERATION = {
  kind: 'delete',
  version: 1,
  serverId: 's',
  projectId: 'p',
  userId: 'u',
  requestId: 'r',
  input: {},
  secrets: { a: 'b' },
} as const;

function fencingTests(open: OpenDatabase): void {
  /** One accepted operation, two conductors over the record, and a clock to turn. */
  const cell = async () => {
    const db = await open();
    const clock = { now: 1_000_000 };
    const stores = [journalStore(db, () => clock.now), journalStore(db, () => clock.now)] as const;
    const id = randomUUID();
    await insertOperation(db.queries, { ...OPERATION, id }, 1);
    const claim = async (which: 0 | 1): Promise<LeasedOperation | undefined> =>
      (await stores[which].claim(`owner ${which}`, LEASE_MS, 10))[0];
    return { db, clock, stores, id, claim };
  };
  const step = (name: string) => [{ step: name, event: 'started', data: null }] as const;

  test('an operation of a newer version, or of a kind that is not known, is left to who knows it', async () => {
    const db = await open();
    await insertOperation(db.queries, { ...OPERATION, id: 'old', version: 1 }, 1);
    await insertOperation(db.queries, { ...OPERATION, id: 'new', version: 3 }, 1);
    const ids = async (known: object) =>
      (await journalStore(db, () => 1, known).claim('me', 1000, 10)).map(({ id }) => id);
    assert.deepEqual(await ids({ stop: 9 }), []);
    assert.deepEqual(await ids({ [OPERATION.kind]: 2 }), ['old']);
    assert.deepEqual(await ids({ [OPERATION.kind]: 3 }), ['new']);
    await db.close();
  });

  test('an operation is claimed by one of two', async () => {
    const { db, stores, id } = await cell();
    const claims = await Promise.all(stores.map((store, index) => store.claim(`owner ${index}`, LEASE_MS, 10)));
    assert.deepEqual(claims.map(({ length }) => length).toSorted(), [0, 1]);
    assert.deepEqual(await stores[1].claim('late', LEASE_MS, 1, id), []);
    await db.close();
  });

  test('the earlier owner of a lost lease writes nothing more', async () => {
    const { db, clock, stores, id, claim } = await cell();
    const first = await claim(0);
    assert.ok(first);
    await stores[0].append(first, step('one'), { state: 'running' });
    clock.now += LEASE_MS + 1;
    const second = await claim(1);
    assert.ok(second && second.fence > first.fence);
    await assert.rejects(stores[0].append(first, step('two'), {}), LeaseLost);
    await assert.rejects(
      stores[0].finish(first, step('two'), {}, { state: 'done', error: null, vmState: 'same' }),
      LeaseLost,
    );
    await assert.rejects(stores[0].progress(first, { step: 'two', done: 1, total: 2, unit: 'bytes' }), LeaseLost);
    assert.deepEqual(
      (await stores[1].read(id)).map((entry) => entry.step),
      ['one'],
    );
    await stores[1].append(second, step('two'), {});
    assert.deepEqual((await stores[0].renew('owner 0', LEASE_MS, [id])).size, 0);
    await db.close();
  });

  test('only what is run is renewed; the rest goes to others', async () => {
    const { db, clock, stores, id, claim } = await cell();
    await claim(0);
    clock.now += LEASE_MS / 2;
    assert.deepEqual([...(await stores[0].renew('owner 0', LEASE_MS, []))], []);
    clock.now += LEASE_MS / 2 + 1;
    assert.equal((await claim(1))?.id, id);
    await db.close();
  });

  test('a renewed lease is kept, and tells of a cancel', async () => {
    const { db, clock, stores, id, claim } = await cell();
    await claim(0);
    clock.now += LEASE_MS / 2;
    await db.queries.updateTable('operations').set({ cancel_reason: 'why not' }).execute();
    assert.deepEqual([...(await stores[0].renew('owner 0', LEASE_MS, [id]))], [[id, 'why not']]);
    clock.now += LEASE_MS / 2 + 1;
    assert.equal(await claim(1), undefined);
    await stores[0].release('owner 0');
    assert.equal((await claim(1))?.cancelReason, 'why not');
    await db.close();
  });

  test('what has ended is nobody’s, keeps no secrets, and is not ended again', async () => {
    const { db, stores, claim } = await cell();
    const owned = await claim(0);
    assert.ok(owned);
    assert.deepEqual(owned.secrets, { a: 'b' });
    const ending = { state: 'done', error: null, vmState: 'same' } as const;
    await stores[0].finish(owned, [], {}, ending);
    const row = await db.queries.selectFrom('operations').selectAll().executeTakeFirstOrThrow();
    assert.deepEqual([row.state, row.lease_owner, row.secrets, row.finished_at !== null], ['done', null, null, true]);
    await assert.rejects(stores[0].finish(owned, [], {}, ending), LeaseLost);
    assert.equal(await claim(1), undefined);
    await db.close();
  });
}
