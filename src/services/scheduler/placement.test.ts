/** What a claim reads of the record: aggregates, hints, what is going on on hosts and what failed there. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import pino from 'pino';
import { memoryTransport } from '#bus/memory.ts';
import { Rpc } from '#bus/rpc.ts';
import type { Database } from '#db/database.ts';
import { addToAggregate, insertAggregate } from '#db/repo/aggregates.ts';
import { registerHost } from '#db/repo/hosts.ts';
import { insertOperation } from '#db/repo/operations.ts';
import { openTestDatabase } from '#db/testing/test-database.ts';
import type { ClaimRequest } from './placement.ts';
import { Scheduler } from './scheduler.ts';

const log = pino({ level: 'silent' });
const NOW = 10_000_000;

async function cell(...names: string[]) {
  const db = await openTestDatabase();
  const host = {
    availability_zone: 'nova',
    vcpus: 100,
    memory_mib: 10_000,
    disk_gib: 1000,
    hypervisor_type: 'fake',
    hypervisor_version: 1,
    cpu_model: 'fake',
    cpu_arch: 'x86_64',
    contract_version: 1,
  };
  await db.transaction(async (trx) => {
    for (const name of names) await registerHost(trx, { ...host, name }, NOW);
  });
  const scheduler = new Scheduler({ db, rpc: new Rpc({ transport: memoryTransport(), log }), log, now: () => NOW });
  return {
    db,
    claim: (wishes: Partial<ClaimRequest> = {}) =>
      scheduler.claimHost({
        serverId: randomUUID(),
        resources: { vcpus: 1, memoryMib: 100, diskGib: 1 },
        availabilityZone: null,
        host: null,
        imageProperties: {},
        ...wishes,
      }),
    [Symbol.asyncDispose]: () => db.close(),
  };
}

async function aggregate(db: Database, host: string, metadata: Record<string, string>): Promise<void> {
  await db.transaction(async (trx) => {
    const { id } = await insertAggregate(trx, { name: randomUUID(), metadata }, NOW);
    await addToAggregate(trx, id, host);
  });
}

/** A launch as the record has it: open, or failed after it was put on `host`. */
async function launch(db: Database, serverId: string, failedOn?: string, cancelReason: string | null = null) {
  const id = randomUUID();
  const asked = { projectId: 'p', userId: 'u', requestId: `req-${id}` };
  await insertOperation(
    db.queries,
    { id, kind: 'create', version: 1, serverId, ...asked, input: {}, secrets: {} },
    NOW - 1000,
  );
  if (failedOn === undefined) return;
  const ended = { error: '{}', finished_at: NOW - 1000, cancel_reason: cancelReason };
  await db.queries.updateTable('operations').set(ended).where('id', '=', id).execute();
  const data = JSON.stringify({ host: failedOn });
  await db.queries
    .insertInto('journal')
    .values({ operation_id: id, seq: 1, step: 'schedule', event: 'done', data, at: NOW })
    .execute();
}

test('a zone of an aggregate is where its host is, and what the server is told', async () => {
  await using made = await cell('a', 'b');
  await aggregate(made.db, 'b', { availability_zone: 'west' });
  const serverId = randomUUID();
  const expected = { host: 'b', availabilityZone: 'west' };
  const { considered: _, ...claimed } = await made.claim({ serverId, availabilityZone: 'west' });
  assert.deepEqual(claimed, expected);
  const { considered: __, ...again } = await made.claim({ serverId, availabilityZone: 'west' });
  assert.deepEqual(again, expected, 'also when it is asked a second time');
  assert.equal((await made.claim({ availabilityZone: 'nova' })).host, 'a');
});

test('extra specs choose the host by its aggregates', async () => {
  await using made = await cell('a', 'b', 'c');
  await aggregate(made.db, 'b', { ssd: 'true' });
  const extraSpecs = { 'aggregate_instance_extra_specs:ssd': 'true' };
  for (let count = 0; count < 3; count++) assert.equal((await made.claim({ extraSpecs })).host, 'b');
  await assert.rejects(
    made.claim({ extraSpecs: { 'capabilities:hypervisor_type': 's== QEMU' } }),
    /3 considered; capabilities: 3 \(asked hypervisor_type s== QEMU\)/,
  );
});

test('hints keep servers apart and together; who is nowhere cannot be joined', async () => {
  await using made = await cell('a', 'b');
  const first = randomUUID();
  const { host } = await made.claim({ serverId: first });
  for (let count = 0; count < 3; count++) {
    assert.equal((await made.claim({ sameHost: [first, randomUUID()] })).host, host);
    assert.notEqual((await made.claim({ differentHost: [first] })).host, host);
  }
  await assert.rejects(made.claim({ sameHost: [randomUUID()] }), /same host: 2/);
  await assert.rejects(
    made.claim({ sameHost: [first], differentHost: [first] }),
    /different host: 1 .*same host: 1|same host: 1 .*different host: 1/,
  );
});

test('a host on which guests could not be made lately comes last; a cancelled one does not count', async () => {
  await using made = await cell('a', 'b');
  await launch(made.db, randomUUID(), 'a');
  await launch(made.db, randomUUID(), 'b', 'its owner did not want it any more');
  for (let count = 0; count < 3; count++) assert.equal((await made.claim()).host, 'b');
  await assert.doesNotReject(made.claim({ host: 'a' }), 'it is last, not out');
});

test('a busy host comes after an idle one', async () => {
  await using made = await cell('a', 'b');
  const busy = randomUUID();
  await made.claim({ serverId: busy, host: 'a' });
  await made.claim({ host: 'b' });
  await launch(made.db, busy);
  // What both hold is the same. Another scheduler sees what is going on when it first looks.
  const rpc = new Rpc({ transport: memoryTransport(), log });
  const other = new Scheduler({ db: made.db, rpc, log, now: () => NOW });
  const picked = await other.claimHost({
    serverId: randomUUID(),
    resources: { vcpus: 1, memoryMib: 100, diskGib: 1 },
    availabilityZone: null,
    host: null,
    imageProperties: {},
  });
  assert.equal(picked.host, 'b');
});
