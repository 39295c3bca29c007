/** The end of servers, locks, and what the guest's agent and kernel are asked. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { journalStore } from '#db/repo/journal-store.ts';
import type { TestCloud } from '../cloud.ts';
import { eventually } from '../eventually.ts';
import { guestImage, PASSWORD, RealServer, realCloud } from './real-server.ts';

describe('life and death', { timeout: 300_000 }, () => {
  let cloud: TestCloud;
  let server: RealServer;

  before(async () => {
    // Reclaimed late: what is deleted can be restored for an hour.
    cloud = await realCloud({ reclaim_seconds: 3600 });
    const image = await guestImage(cloud, { hw_qemu_guest_agent: 'yes', os_require_quiesce: 'yes' });
    server = await RealServer.launch(cloud, image);
    await server.run('until grep -q qemu-ga /proc/[0-9]*/comm; do usleep 100000; done');
  });
  after(() => cloud[Symbol.asyncDispose]());

  test('lock: the owner’s actions are refused and the guest runs on; an administrator’s are not; unlock', async () => {
    const { pid } = server;
    await server.ask({ lock: null });
    for (const action of [{ 'os-stop': null }, { reboot: { type: 'HARD' } }, { rebuild: { imageRef: server.id } }]) {
      const refused = await server.ask(action);
      assert.equal(refused.status, 'rebuild' in action ? 400 : 409, JSON.stringify(action));
    }
    const client = await cloud.as('demo');
    assert.equal((await client.request('DELETE', server.path)).status, 409);
    assert.equal(server.pid, pid);
    await server.act({ pause: null }, { as: 'admin' });
    await server.act({ unpause: null }, { as: 'admin' });
    await server.ask({ unlock: null });
    await server.act({ pause: null });
    await server.act({ unpause: null });
  });

  test('changePassword: the new one opens the guest, the old one does not', async () => {
    await server.act({ changePassword: { adminPass: 'hunter-two' } });
    const shadow = await server.run('grep ^root: /etc/shadow', 'hunter-two');
    assert.match(shadow, /^root:\$/);
    await server.act({ changePassword: { adminPass: PASSWORD } });
    assert.notEqual(await server.run('grep ^root: /etc/shadow'), shadow);
  });

  test('trigger_crash_dump: the guest’s kernel is interrupted', async () => {
    const seen = () => server.run('dmesg | grep -ci nmi.received || true');
    const before = Number(await seen());
    await server.act({ trigger_crash_dump: null });
    await eventually('the kernel says so', async () => Number(await seen()) > before);
  });

  test('a snapshot with an agent has whole file systems: booted from it, nothing is recovered', async () => {
    await server.run('echo frozen > /root/frozen; sync');
    const { body, requestId } = await server.act({ createImage: { name: 'whole' } });
    const { id } = await cloud.rested(requestId);
    const copied = (await journalStore(cloud.db).read(id)).find(
      (each) => each.step === 'copyDisk' && each.event === 'done',
    );
    assert.ok(copied);
    assert.equal((copied.data as { quiesced: boolean }).quiesced, true);
    // Thawed: it can write.
    await server.run('echo thawed > /root/thawed; sync');
    const copy = await RealServer.launch(cloud, body.image_id ?? '', { name: 'copy' });
    assert.equal(await copy.run('cat /root/frozen'), 'frozen');
    assert.equal(await copy.run('dmesg | grep -c "recovery complete" || true'), '0');
    await copy.act({ forceDelete: null });
    assert.equal(copy.pid, undefined);
    assert.equal(existsSync(copy.dir), false);
  });

  test('soft delete: off, and restored with its data', async () => {
    await server.run('echo deleted > /root/file');
    const client = await cloud.as('demo');
    await client.ok('DELETE', server.path);
    await server.is('SOFT_DELETED');
    assert.equal(server.pid, undefined);
    assert.equal((await server.ask({ 'os-start': null })).status, 409);
    await server.act({ restore: null });
    await server.is('ACTIVE');
    assert.equal(await server.run('cat /root/file'), 'deleted');
  });

  test('a deleted server is reclaimed when its time is over: process, files and room are gone', async () => {
    const client = await cloud.as('demo');
    await client.ok('DELETE', server.path);
    await server.is('SOFT_DELETED');
    await cloud.db.queries.updateTable('servers').set({ soft_deleted_at: 0 }).where('id', '=', server.id).execute();
    await eventually('the server gone', async () => (await server.show()) === null, { withinMs: 30_000 });
    assert.equal(existsSync(server.dir), false);
    assert.deepEqual(await cloud.leaks(), []);
  });
});
