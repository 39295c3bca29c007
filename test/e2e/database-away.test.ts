/** A cloud whose PostgreSQL is stopped and started under it: it says so, survives, and goes on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PostgresCluster } from '#local/postgres.ts';
import { testCloud } from '../cloud.ts';

test('while the database is away requests are answered 503, and what was going on goes on afterwards', async () => {
  await using cluster = await PostgresCluster.create();
  await using cloud = await testCloud({
    driver: 'fake',
    inMemory: true,
    config: { database: cluster.url('postgres') },
    overrides: { conductor: { leaseMs: 1_000, lookEveryMs: 50 } },
  });
  const demo = await cloud.as('demo');
  const first = await cloud.server().active();
  cloud.driver.setFault('*', { blockAt: ['create'] });
  const second = await cloud.server().accepted();
  await cloud.waitFor('the launch hangs', async () => cloud.driver.isHanging(second.id, 'create'));

  await cluster.stop();
  const answer = await demo.request<{ computeFault?: unknown }>('GET', '/compute/v2.1/servers');
  assert.equal(answer.status, 503);
  assert.match(JSON.stringify(answer.body), /The database does not answer .*Try again in a moment/);
  // Its end cannot be written down now.
  cloud.driver.setFault('*', null);

  await cluster.start();
  await second.is('ACTIVE');
  await first.is('ACTIVE');
  for (const server of [first, second]) {
    await server.delete();
    await server.isGone();
  }
});

test('a cloud whose database is away ends when it is told to', async () => {
  await using cluster = await PostgresCluster.create();
  await using cloud = await testCloud({
    driver: 'fake',
    inMemory: true,
    config: { database: cluster.url('postgres') },
  });
  await cluster.stop();
  await cloud.stop();
  await cluster.start();
  await cloud.start();
});
