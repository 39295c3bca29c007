/**
 * Live migration of a real guest between two hosts, looked at from inside it: its memory (a counter that runs), its disk, its
 * boots; and from the hosts: one QEMU, and nothing left where it was.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { TestCloud } from '../cloud.ts';
import { COUNT, guestImage, RealServer, realCloud } from './real-server.ts';

const LIVE = { 'os-migrateLive': { host: null, block_migration: 'auto' } };

describe('live migration', { timeout: 300_000 }, () => {
  let cloud: TestCloud;
  let server: RealServer;

  before(async () => {
    cloud = await realCloud({ hosts: 2 });
    server = await RealServer.launch(cloud, await guestImage(cloud));
    await server.run(COUNT);
  });
  after(() => cloud[Symbol.asyncDispose]());

  const hostOf = async () =>
    (await cloud.db.queries.selectFrom('servers').select('host').where('id', '=', server.id).executeTakeFirst())?.host;
  const filesOn = (host: string) => existsSync(join(cloud.data, 'hosts', host, 'instances', server.id));
  const counter = async () => Number(await server.run('cat /run/counter'));
  const bootId = () => server.run('cat /proc/sys/kernel/random/boot_id');

  test('the guest goes on where it was, with memory and disk, on the other host', async () => {
    const [from, boot, counted] = [(await hostOf()) ?? '', await bootId(), await counter()];
    // Not synced: it is in the guest's memory and not on any disk yet.
    await server.run('echo live > /root/file');
    await server.act(LIVE, { as: 'admin' });
    await server.is('ACTIVE');
    const to = (await hostOf()) ?? '';
    assert.notEqual(to, from);
    assert.deepEqual([filesOn(from), filesOn(to)], [false, true]);
    assert.equal(await bootId(), boot);
    assert.equal(await server.run('cat /root/file'), 'live');
    const first = await counter();
    assert.ok(first > counted, `${first} after ${counted}`);
    assert.ok((await counter()) > first, 'it goes on');
    await server.run('sync');
    await server.act({ reboot: { type: 'HARD' } });
    assert.equal(await server.run('cat /root/file'), 'live', 'on the disk of the new host');
  });

  test('a paused server goes over as well, and stays paused', async () => {
    await server.run(COUNT);
    const [from, boot] = [await hostOf(), await bootId()];
    await server.act({ pause: null });
    await server.act(LIVE, { as: 'admin' });
    await server.is('PAUSED');
    assert.notEqual(await hostOf(), from);
    await server.act({ unpause: null });
    assert.equal(await bootId(), boot);
    const first = await counter();
    assert.ok((await counter()) > first, 'it goes on');
  });

  test('one that is cancelled stays where it is and runs on', async () => {
    const [from, boot] = [await hostOf(), await bootId()];
    await server.run('dd if=/dev/urandom of=/root/ballast bs=1M count=64 2>/dev/null; sync');
    const { requestId } = await server.ask(LIVE, 'admin');
    const client = await cloud.as('demo');
    await cloud.waitFor('something is on its way', async () => {
      const row = await cloud.db.queries
        .selectFrom('operations')
        .select(['progress', 'finished_at'])
        .where('request_id', '=', requestId)
        .executeTakeFirst();
      assert.equal(row?.finished_at ?? null, null, 'it was over too soon to be cancelled');
      return row?.progress;
    });
    assert.equal((await client.request('DELETE', `${server.path}/os-instance-actions/${requestId}`)).status, 202);
    await server.is('ACTIVE');
    assert.equal(await hostOf(), from);
    assert.equal(await bootId(), boot);
    const first = await counter();
    assert.ok((await counter()) > first, 'it goes on');
  });
});
