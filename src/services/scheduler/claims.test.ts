/** Claims are never more than there is room, however many come at once; and a refusal says why, per reason. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import pino from 'pino';
import { memoryTransport } from '#bus/memory.ts';
import { Rpc } from '#bus/rpc.ts';
import type { Database } from '#db/database.ts';
import { registerHost, usageByHost } from '#db/repo/hosts.ts';
import { openTestDatabase } from '#db/testing/test-database.ts';
import { Scheduler } from './scheduler.ts';

const log = pino({ level: 'silent' });
const RATIOS = { vcpus: 1, memory: 1, disk: 1, reservedMemoryMib: 0 };

/** Two hosts with room for 10 each by memory; as many schedulers as wanted over one record. */
async function cell(schedulers: number) {
  const db = await openTestDatabase();
  for (const name of ['one', 'two']) await addHost(db, name);
  const rpc = new Rpc({ transport: memoryTransport(), log });
  return {
    db,
    schedulers: Array.from({ length: schedulers }, () => new Scheduler({ db, rpc, log, ratios: RATIOS })),
    [Symbol.asyncDispose]: () => db.close(),
  };
}

function addHost(db: Database, name: string): Promise<void> {
  const host = {
    name,
    availability_zone: 'nova',
    vcpus: 100,
    memory_mib: 1000,
    disk_gib: 1000,
    hypervisor_type: 'fake',
    hypervisor_version: 1,
    cpu_model: 'fake',
    cpu_arch: 'x86_64',
    contract_version: 1,
  };
  return registerHost(db.queries, host, Date.now());
}

const request = (serverId = randomUUID()) => ({
  serverId,
  resources: { vcpus: 1, memoryMib: 100, diskGib: 1 },
  availabilityZone: null,
  host: null,
  imageProperties: {},
});

test('fifty claims at once over three schedulers: twenty are given, none too many', async () => {
  await using made = await cell(3);
  const { db, schedulers } = made;
  const claims = Array.from({ length: 50 }, (_, index) => schedulers[index % 3]?.claimHost(request()));
  const results = await Promise.allSettled(claims);
  const usage = await usageByHost(db.queries);
  assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 20);
  assert.deepEqual(
    [...usage.values()].map(({ memoryMib }) => memoryMib),
    [1000, 1000],
  );
  const refused = results.find((result) => result.status === 'rejected');
  assert.match(String(refused?.reason), /2 considered; ram: 2 \(asked 100 MiB, best free 0\)/);
});

test('one server asked for many times at once holds room once', async () => {
  await using made = await cell(2);
  const { db, schedulers } = made;
  const same = request();
  const hosts = await Promise.all(Array.from({ length: 10 }, (_, index) => schedulers[index % 2]?.claimHost(same)));
  assert.equal(new Set(hosts.map((claimed) => claimed?.host)).size, 1);
  assert.equal((await db.queries.selectFrom('allocations').selectAll().execute()).length, 1);
});

test('a release is not overtaken by the claim that it takes back', async () => {
  await using made = await cell(1);
  const [scheduler] = made.schedulers;
  const claim = request();
  const claimed = scheduler?.claimHost(claim);
  await scheduler?.releaseHost(claim.serverId);
  await claimed;
  assert.deepEqual(await made.db.queries.selectFrom('allocations').selectAll().execute(), []);
});

test('a claim that was cancelled is not made', async () => {
  await using made = await cell(1);
  const claimed = made.schedulers[0]?.claimHost(request(), AbortSignal.abort(new Error('cancelled')));
  await assert.rejects(claimed ?? Promise.resolve(), /cancelled/);
  assert.deepEqual(await made.db.queries.selectFrom('allocations').selectAll().execute(), []);
});

test('room that is given back is given again', async () => {
  await using made = await cell(1);
  const [scheduler] = made.schedulers;
  const servers = Array.from({ length: 20 }, () => request());
  for (const each of servers) await scheduler?.claimHost(each);
  await assert.rejects(scheduler?.claimHost(request()) ?? Promise.resolve(), { code: 'noValidHost' });
  await scheduler?.releaseHost(servers[0]?.serverId ?? '');
  await scheduler?.claimHost(request());
});
