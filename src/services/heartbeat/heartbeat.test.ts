/** A process is written down when it starts and every ten seconds; one row each, however often it starts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import pino from 'pino';
import { listServices } from '#db/repo/services.ts';
import { openTestDatabase } from '#db/testing/test-database.ts';
import { Heartbeat } from './heartbeat.ts';

test('each role of a process has one row, which says when it was heard of last', async () => {
  const db = await openTestDatabase();
  const log = pino({ level: 'silent' });
  const start = async (host: string, now: number) => {
    const heartbeat = new Heartbeat({ db, log, roles: ['nova-conductor', 'nova-scheduler'], host, now: () => now });
    await heartbeat.start();
    await heartbeat.close();
  };
  await start('a', 1000);
  await start('b', 2000);
  await start('a', 3000);
  const rows = await listServices(db.queries);
  await db.close();
  assert.deepEqual(
    rows.map(({ number, role, host, seen_at }) => [number, role, host, seen_at]),
    [
      [1, 'nova-conductor', 'a', 3000],
      [2, 'nova-scheduler', 'a', 3000],
      [3, 'nova-conductor', 'b', 2000],
      [4, 'nova-scheduler', 'b', 2000],
    ],
  );
});
