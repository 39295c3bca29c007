/** Server groups keep their policy, also when their servers are launched at the same moment over several schedulers. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import pino from 'pino';
import { memoryTransport } from '#bus/memory.ts';
import { Rpc } from '#bus/rpc.ts';
import { registerHost } from '#db/repo/hosts.ts';
import { insertServerGroup } from '#db/repo/server-groups.ts';
import type { ServerGroupRow } from '#db/tables/compute.ts';
import { openTestDatabase } from '#db/testing/test-database.ts';
import { Scheduler } from './scheduler.ts';

const log = pino({ level: 'silent' });
const RATIOS = { vcpus: 1, memory: 1, disk: 1, reservedMemoryMib: 0 };

async function cell(hosts: number, options: { readonly schedulers?: number } = {}) {
  const db = await openTestDatabase();
  for (let index = 1; index <= hosts; index++) {
    const host = {
      name: `host-${index}`,
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
    await registerHost(db.queries, host, Date.now());
  }
  const rpc = new Rpc({ transport: memoryTransport(), log });
  const schedulers = Array.from(
    { length: options.schedulers ?? 1 },
    () => new Scheduler({ db, rpc, log, ratios: RATIOS }),
  );
  let turn = 0;
  return {
    db,
    /** A group and the ids of `count` servers in it. */
    async group(policy: ServerGroupRow['policy'], count: number, rules: object = {}) {
      const row = { project_id: 'p', user_id: 'u', name: 'g', policy, rules: JSON.stringify(rules), created_at: 1 };
      const id = randomUUID();
      await insertServerGroup(db.queries, { id, ...row });
      const servers = Array.from({ length: count }, () => randomUUID());
      for (const server_id of servers)
        await db.queries.insertInto('server_group_members').values({ server_id, group_id: id }).execute();
      return { id, servers };
    },
    /** Claims a host for a server, by one scheduler after the other; answers its name. */
    async claim(serverId: string, more: { readonly serverGroupId?: string | null; readonly memoryMib?: number } = {}) {
      const { memoryMib = 100, ...rest } = more;
      const claimed = await schedulers[turn++ % schedulers.length]?.claimHost({
        serverId,
        resources: { vcpus: 1, memoryMib, diskGib: 1 },
        availabilityZone: null,
        host: null,
        imageProperties: {},
        ...rest,
      });
      return claimed?.host ?? '';
    },
    release: (serverId: string) => schedulers[0]?.releaseHost(serverId),
    [Symbol.asyncDispose]: () => db.close(),
  };
}

test('anti-affinity at once: three servers on three hosts, and the fourth is told why there is none', async () => {
  await using made = await cell(3, { schedulers: 3 });
  const { id, servers } = await made.group('anti-affinity', 4);
  const results = await Promise.allSettled(servers.map((server) => made.claim(server, { serverGroupId: id })));
  const hosts = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  assert.deepEqual(hosts.toSorted(), ['host-1', 'host-2', 'host-3']);
  const refused = results.find((result) => result.status === 'rejected');
  assert.match(String(refused?.reason), /3 considered; server group: 3 \(anti-affinity, at most 1 on a host\)/);
});

test('anti-affinity with a rule: so many on each host and no more', async () => {
  await using made = await cell(2, { schedulers: 2 });
  const { servers } = await made.group('anti-affinity', 5, { max_server_per_host: 2 });
  const results = await Promise.allSettled(servers.map((server) => made.claim(server)));
  const hosts = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  assert.deepEqual(hosts.toSorted(), ['host-1', 'host-1', 'host-2', 'host-2']);
});

test('affinity at once: all on one host, though an emptier one is there', async () => {
  await using made = await cell(3, { schedulers: 3 });
  const { id, servers } = await made.group('affinity', 8);
  const hosts = await Promise.all(servers.map((server) => made.claim(server, { serverGroupId: id })));
  assert.equal(new Set(hosts).size, 1);
  const { servers: others } = await made.group('affinity', 1);
  assert.notEqual(await made.claim(others[0] ?? ''), hosts[0], 'another group goes its own way');
});

test('affinity on a full host is refused, and says so', async () => {
  await using made = await cell(2);
  const { servers } = await made.group('affinity', 2);
  await made.claim(servers[0] ?? '', { memoryMib: 900 });
  const refused = made.claim(servers[1] ?? '', { memoryMib: 900 });
  await assert.rejects(
    refused,
    /server group: 1 \(affinity, its servers are on another\); ram: 1 \(asked 900 MiB, best free 100\)/,
  );
});

test('soft policies are wishes: apart or together as long as there is room', async () => {
  await using made = await cell(3);
  const apart = await made.group('soft-anti-affinity', 4);
  const hosts: string[] = [];
  for (const server of apart.servers) hosts.push(await made.claim(server));
  assert.equal(new Set(hosts.slice(0, 3)).size, 3);
  assert.equal(hosts.length, 4, 'the fourth has a host all the same');
  const together = await made.group('soft-affinity', 8);
  const same: string[] = [];
  for (const server of together.servers) same.push(await made.claim(server, { memoryMib: 150 }));
  assert.equal(new Set(same.slice(0, 5)).size, 1);
  assert.ok(new Set(same).size > 1, 'the rest goes where room is');
});

test('a server that left its host makes room in the group, and moves without being in its own way', async () => {
  await using made = await cell(2);
  const { servers } = await made.group('anti-affinity', 3);
  const [first = '', second = '', third = ''] = servers;
  const host = await made.claim(first);
  await made.claim(second);
  await assert.rejects(made.claim(third), { code: 'noValidHost' });
  await made.release(first);
  assert.equal(await made.claim(third), host);
});

test('a server of no group, or of one that was deleted, is bound by nothing', async () => {
  await using made = await cell(1);
  const { id, servers } = await made.group('anti-affinity', 2);
  await made.claim(servers[0] ?? '');
  await made.claim(randomUUID(), { serverGroupId: null });
  await made.db.queries.deleteFrom('server_groups').where('id', '=', id).execute();
  assert.equal(await made.claim(servers[1] ?? '', { serverGroupId: id }), 'host-1');
});
