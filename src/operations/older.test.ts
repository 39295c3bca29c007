/** Operations that an older release accepted go on in this one; what it cannot know is for a person to look at. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { VERSIONS } from '#contracts/operation-inputs.ts';
import { insertOperation, takeServer } from '#db/repo/operations.ts';
import { findServer } from '#db/repo/servers.ts';
import type { JournalEntry } from '#journal/store.ts';
import { type TestCloud, testCloud } from '../../test/cloud.ts';

/** A delete of a server as some version accepted it, with its journal; answers the ids. */
async function accepted(cloud: TestCloud, version: number, journalOn: (host: string) => readonly JournalEntry[]) {
  const { id } = await cloud.server().active();
  const row = await findServer(cloud.db.queries, id, null);
  assert.ok(row?.host);
  const entries = journalOn(row.host);
  const operation = { id: randomUUID(), kind: 'delete', version, serverId: id, input: {}, secrets: {} } as const;
  const requestId = `req-${operation.id}`;
  const asked = { ...operation, projectId: row.project_id, userId: row.user_id, requestId };
  await cloud.db.transaction(async (trx) => {
    await takeServer(trx, row, asked, Date.now());
    await insertOperation(trx, asked, Date.now());
    for (const [seq, { step, event, data }] of entries.entries()) {
      const entry = { operation_id: operation.id, seq: seq + 1, step, event, data: JSON.stringify(data), at: 1 };
      await trx.insertInto('journal').values(entry).execute();
    }
  });
  return { id, requestId };
}

const JOURNALS: Readonly<Record<string, (host: string) => readonly JournalEntry[]>> = {
  'that had not begun': () => [],
  'in its middle, with what it had found out': (host) => [
    { step: 'preempt', event: 'started', data: null },
    { step: 'preempt', event: 'done', data: { host } },
    { step: 'destroyGuest', event: 'started', data: null },
  ],
};

for (const [what, journalOn] of Object.entries(JOURNALS))
  test(`a delete of 0.1.0 ${what} goes on`, async () => {
    await using cloud = await testCloud({ driver: 'fake', inMemory: true });
    const { id, requestId } = await accepted(cloud, 1, journalOn);
    assert.equal((await cloud.rested(requestId)).state, 'done');
    assert.equal(await findServer(cloud.db.queries, id, null), undefined);
    assert.deepEqual(await cloud.leaks(), []);
  });

test('one of a version that is not known any more waits for a person, and of a newer one for a newer conductor', async () => {
  await using cloud = await testCloud({ driver: 'fake', inMemory: true });
  const { requestId } = await accepted(cloud, 2, () => []);
  assert.equal((await cloud.rested(requestId)).state, 'needs_attention');
  const change = (version: number) =>
    cloud.db.queries
      .updateTable('operations')
      .set({ version, state: 'running', lease_owner: null })
      .where('request_id', '=', requestId)
      .execute();
  await change(99);
  await cloud.restart();
  const row = await cloud.db.queries
    .selectFrom('operations')
    .select(['state', 'lease_owner'])
    .where('request_id', '=', requestId)
    .executeTakeFirst();
  assert.deepEqual([row?.state, row?.lease_owner], ['running', null], 'nobody took it');
  await change(VERSIONS.delete);
  assert.equal((await cloud.rested(requestId)).state, 'done');
});
