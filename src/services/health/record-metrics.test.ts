/** What the record says of the cloud, counted anew when it is asked for, and not too often. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { registerHost } from '#db/repo/hosts.ts';
import { openTestDatabase } from '#db/testing/test-database.ts';
import { NO_METER, type Sample } from '#observe/metrics.ts';
import { measureRecord } from './record-metrics.ts';

const NOW = 1_000_000;
const HOST = {
  availability_zone: 'nova',
  vcpus: 1,
  memory_mib: 1,
  disk_gib: 1,
  hypervisor_type: 'fake',
  hypervisor_version: 1,
  cpu_model: 'fake',
  cpu_arch: 'x86_64',
  contract_version: 1,
};

test('hosts, operations, messages, servers and images', async () => {
  const db = await openTestDatabase();
  let now = NOW;
  let ask: () => Promise<readonly Sample[]> | readonly Sample[] = () => [];
  const gauges = (source: typeof ask) => {
    ask = source;
  };
  measureRecord(db.queries, { ...NO_METER, gauges }, () => now);
  const said = async () =>
    (await ask()).map(({ name, labels, value }) =>
      [name.replace('micronova_', ''), ...Object.values(labels), value].join(' '),
    );

  assert.deepEqual(await said(), ['outbox_messages 0', 'outbox_oldest_age_seconds 0']);

  await db.transaction((trx) => registerHost(trx, { ...HOST, name: 'up' }, NOW));
  await db.transaction((trx) => registerHost(trx, { ...HOST, name: 'silent' }, NOW - 60_000));
  await db.queries.updateTable('hosts').set({ enabled: 0 }).where('name', '=', 'silent').execute();
  const operation = {
    version: 1,
    server_id: 's',
    project_id: 'p',
    user_id: 'u',
    request_id: 'r',
    input: '{}',
    updated_at: NOW,
    lease_until: 0,
    fence: 0,
  };
  await db.queries
    .insertInto('operations')
    .values(
      [
        { id: '1', kind: 'create', state: 'running', created_at: NOW - 5_000, finished_at: null },
        { id: '2', kind: 'create', state: 'pending', created_at: NOW - 9_000, finished_at: null },
        { id: '3', kind: 'delete', state: 'needs_attention', created_at: NOW - 99_000, finished_at: null },
        { id: '4', kind: 'create', state: 'done', created_at: NOW - 99_000, finished_at: NOW },
      ].map((row) => ({
        ...operation,
        ...(row as { id: string; kind: 'create'; state: 'running'; created_at: number; finished_at: null }),
      })),
    )
    .execute();
  await db.queries
    .insertInto('outbox')
    .values({ id: '2', message: '{}', created_at: NOW - 9_000 })
    .execute();
  const image = { visibility: 'public', owner: 'p', protected: 0, os_hidden: 0, min_disk: 0, min_ram: 0 } as const;
  await db.queries
    .insertInto('images')
    .values([
      { ...image, id: 'a', status: 'active', size: 7, created_at: NOW, updated_at: NOW },
      { ...image, id: 'b', status: 'active', size: 5, created_at: NOW, updated_at: NOW },
      { ...image, id: 'c', status: 'queued', size: null, created_at: NOW, updated_at: NOW },
    ])
    .execute();

  assert.equal((await said()).length, 2, 'it was asked a moment ago');
  now += 10_000;
  assert.deepEqual((await said()).toSorted(), [
    'host_enabled silent 0',
    'host_enabled up 1',
    'host_up silent 0',
    'host_up up 1',
    'image_bytes active 12',
    'image_bytes queued 0',
    'images active 2',
    'images queued 1',
    'operation_oldest_age_seconds create 19',
    'operations_open create pending 1',
    'operations_open create running 1',
    'operations_open delete needs_attention 1',
    'outbox_messages 1',
    'outbox_oldest_age_seconds 19',
  ]);
  await db.close();
  now += 10_000;
  await assert.rejects(async () => ask());
});
