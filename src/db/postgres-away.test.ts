/** A server that is not there yet, goes, and comes back: really stopped and started. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { PostgresCluster } from '#local/postgres.ts';
import { openPostgres } from './postgres.ts';

let cluster: PostgresCluster;
before(async () => {
  cluster = await PostgresCluster.create();
});
after(() => cluster[Symbol.asyncDispose]());

/** What is told to the log, and a promise of the next line. */
function listener() {
  const lines: string[] = [];
  let heard = Promise.withResolvers<void>();
  const hear = (...[first, second]: readonly unknown[]) => {
    lines.push(`${second ?? first}${second === undefined ? '' : ` ${JSON.stringify(first)}`}`);
    heard.resolve();
    heard = Promise.withResolvers();
  };
  return { lines, next: () => heard.promise, log: { info: hear, warn: hear } as never };
}

const AWAY = { code: 'databaseUnavailable', status: 503, retryable: true } as const;

test('a connection that the server ends is an error to be tried again, and is replaced', async () => {
  const { lines, log } = listener();
  const db = await openPostgres(cluster.url('postgres'), { log });
  const count = () => db.queries.selectFrom('outbox').select('id').execute();
  assert.deepEqual(await count(), []);

  // One is cut in the middle of a transaction, others while nobody uses them.
  const begun = Promise.withResolvers<void>();
  const isStopped = Promise.withResolvers<void>();
  const cut = db.transaction(async (trx) => {
    await trx.insertInto('outbox').values({ id: 'cut', message: '{}', created_at: 1 }).execute();
    begun.resolve();
    await isStopped.promise;
    await trx.selectFrom('outbox').select('id').execute();
  });
  await begun.promise;
  await Promise.all([count(), count(), count()]);
  await cluster.stop();
  isStopped.resolve();
  await assert.rejects(cut, AWAY);
  await assert.rejects(count(), AWAY);
  await assert.rejects(count(), AWAY);
  await assert.rejects(
    db.commit((trx) => trx.deleteFrom('outbox').execute()),
    AWAY,
  );
  assert.deepEqual(
    lines.map((line) => line.split(' {')[0]),
    ['the database does not answer; it is tried again'],
  );

  await cluster.start();
  assert.deepEqual(await count(), [], 'what was cut off has written nothing');
  await db.transaction((trx) => trx.insertInto('outbox').values({ id: 'a', message: '{}', created_at: 1 }).execute());
  assert.equal((await count()).length, 1);
  assert.deepEqual(lines.slice(1), ['the database answers again']);
  await db.close();
});

test('the start waits for a server that is not there yet, and says so once, without the password', async () => {
  await cluster.stop();
  const { lines, next, log } = listener();
  const url = cluster.url('postgres').replace('micronova@', 'micronova:hush@');
  const told = next();
  const opening = openPostgres(url, { log });
  await told;
  await cluster.start();
  const db = await opening;
  await db.queries.selectFrom('outbox').select('id').execute();
  assert.equal(lines.length, 2);
  assert.match(lines[0] ?? '', /^the database does not answer/);
  assert.equal(lines[1], 'the database answers again');
  assert.doesNotMatch(lines.join(), /hush/);
  await db.close();
});

test('the wait for a server that does not come is bounded, and one that refuses us is not waited for', async () => {
  await assert.rejects(openPostgres(cluster.url('missing'), { waitMs: 0 }), { ...AWAY, message: /"missing"/ });
  const stranger = cluster.url('postgres').replace('micronova@', 'nobody:hush@');
  await assert.rejects(openPostgres(stranger), (error: Error) => {
    assert.equal((error as Error & { code: string }).code, 'databaseRefused');
    assert.match(error.message, /role "nobody" does not exist.*'database'/);
    assert.doesNotMatch(`${error.message} ${error.stack}`, /hush/);
    return true;
  });
});

test('a server without TLS, where that is asked for, is refused with one clear line', async () => {
  const url = `${cluster.url('postgres')}&sslmode=verify-full`;
  await assert.rejects(openPostgres(url), { code: 'databaseRefused', message: /SSL.*'database'/ });
});

test('an address that is none is refused without being repeated', async () => {
  await assert.rejects(openPostgres('postgres://user:hush@host:port/x'), (error: Error) => {
    assert.doesNotMatch(`${error.message} ${error.stack} ${JSON.stringify(error)}`, /hush/);
    return (error as Error & { code: string }).code === 'databaseRefused';
  });
});
