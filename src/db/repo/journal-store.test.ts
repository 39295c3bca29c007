/** What an operation writes of its server: everything while it has it, what it has done when a stronger one has taken over. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OperationKind } from '#domain/operation/operation.ts';
import type { Ending } from '#journal/store.ts';
import type { Database } from '../database.ts';
import { addServer } from '../testing/server-row.ts';
import { openTestDatabase } from '../testing/test-database.ts';
import { journalStore } from './journal-store.ts';
import { insertOperation, takeServer } from './operations.ts';
import { findServer } from './servers.ts';

const REQUEST = { version: 1, serverId: 'web', projectId: 'p', userId: 'u', input: {}, secrets: {} } as const;

/** A server that is being shut off, then taken over by that kind; answers its row once the first has ended so. */
async function afterEndOf(kind: OperationKind, ending: Ending, takenOver: 'while it runs' | 'when it is stuck') {
  const db = await openTestDatabase();
  try {
    await addServer(db, { id: 'web', vm_state: 'error', power_state: 1 });
    await take(db, 'weaker', 'stop');
    const store = journalStore(db, () => 2);
    const [weaker] = await store.claim('me', 1000, 1, 'weaker');
    assert.ok(weaker);
    if (takenOver === 'when it is stuck')
      await db.queries.updateTable('servers').set({ task_state: null, vm_state: 'stopped' }).execute();
    await take(db, 'stronger', kind);
    await store.finish(weaker, [], { powerState: 4 }, ending);
    const row = await findServer(db.queries, 'web', null);
    return [row?.vm_state, row?.power_state, row?.task_state, row?.operation_id];
  } finally {
    await db.close();
  }
}

function take(db: Database, id: string, kind: OperationKind): Promise<void> {
  const operation = { ...REQUEST, id, kind, requestId: id };
  return db.transaction(async (trx) => {
    const row = await findServer(trx, 'web', null);
    assert.ok(row);
    await takeServer(trx, row, operation, 1);
    await insertOperation(trx, operation, 1);
  });
}

const DONE = { state: 'done', error: null, vmState: 'stopped' } as const;

test('who minds what is in flight does not take a server that is busy with something else than was read', async () => {
  const db = await openTestDatabase();
  try {
    await addServer(db, { id: 'web' });
    const read = await findServer(db.queries, 'web', null);
    assert.ok(read);
    await take(db, 'shelving', 'shelve');
    const deletion = { ...REQUEST, id: 'deletion', kind: 'softDelete', requestId: 'r' } as const;
    const attempt = (row: typeof read) =>
      db.transaction((trx) => takeServer(trx, row, deletion, 1, { ifSameTask: true }));
    await assert.rejects(attempt(read), { code: 'instanceChanged' });
    const now = await findServer(db.queries, 'web', null);
    assert.ok(now);
    await attempt(now);
  } finally {
    await db.close();
  }
});

test('what was done before the stronger one could stop it is written down, and the server stays with that', async () => {
  const row = await afterEndOf('forceStop', DONE, 'while it runs');
  assert.deepEqual(row, ['stopped', 4, 'powering-off', 'stronger']);
});

test('where a failure would leave the server is for the stronger one to say', async () => {
  const failed = { state: 'undone', error: null, vmState: 'rescued' } as const;
  const row = await afterEndOf('delete', failed, 'while it runs');
  assert.deepEqual(row, ['error', 4, 'deleting', 'stronger']);
});

test('what waits for nobody does not find its server changed under it', async () => {
  const row = await afterEndOf('start', { ...DONE, vmState: 'error' }, 'when it is stuck');
  assert.deepEqual(row, ['stopped', 1, 'powering-on', 'stronger']);
});
