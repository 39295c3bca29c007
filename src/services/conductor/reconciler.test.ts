/** Record and reality, where several look and change at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import pino from 'pino';
import type { Rpc } from '#bus/rpc.ts';
import { findServer, updateServer } from '#db/repo/servers.ts';
import { addServer } from '#db/testing/server-row.ts';
import { openTestDatabase } from '#db/testing/test-database.ts';
import { Reconciler } from './reconciler.ts';

/** Looks at a running server whose guest is off, while its record is changed during the first so many looks. */
async function lookedAt(changes: number) {
  const db = await openTestDatabase();
  try {
    await addServer(db, { id: 'web' });
    let looks = 0;
    const host = {
      async inspectGuest() {
        looks += 1;
        if (looks <= changes) await updateServer(db.queries, 'web', { locked: 1 }, 2);
        return { state: 'stopped', reason: null, lostWithHost: false, damage: null };
      },
    };
    const reconciler = new Reconciler({
      db,
      // A stand-in with the method that is called.
      rpc: { client: () => host } as unknown as Rpc,
      log: pino({ level: 'silent' }),
      now: () => 2,
      startLostGuests: false,
      begun: () => {},
    });
    await reconciler.look('web', null);
    const row = await findServer(db.queries, 'web', null);
    return { vmState: row?.vm_state, locked: row?.locked, looks };
  } finally {
    await db.close();
  }
}

test('a guest that powered off while its record was changed by somebody else is not forgotten', async () => {
  assert.deepEqual(await lookedAt(1), { vmState: 'stopped', locked: 1, looks: 2 });
});

test('a record that is changed all the time keeps nobody busy: the next report tells it again', async () => {
  assert.deepEqual(await lookedAt(100), { vmState: 'active', locked: 1, looks: 5 });
});
