/**
 * Shut off, start, reboot, pause, suspend on a real guest: looked at from inside it (boots, files, a counter in its memory)
 * and from the host (its process).
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { TestCloud } from '../cloud.ts';
import { guestImage, RealServer, realCloud } from './real-server.ts';

/** Counts in the memory of a process of the guest; what it reached is where only memory is. */
const COUNT = '(n=0; while :; do n=$((n+1)); echo $n > /run/counter; usleep 20000; done) > /dev/null 2>&1 & :';
const boots = (server: RealServer) => server.run('cat /var/lib/cloud/boots');

describe('power', { timeout: 300_000 }, () => {
  let cloud: TestCloud;
  let server: RealServer;

  before(async () => {
    cloud = await realCloud();
    server = await RealServer.launch(cloud, await guestImage(cloud));
  });
  after(() => cloud[Symbol.asyncDispose]());

  test('shut off: the guest writes its files and its process is gone; start: it boots again with them', async () => {
    // Not synced: only a guest that was asked to shut down keeps it.
    await server.run('echo kept > /root/file');
    await server.act({ 'os-stop': null });
    assert.equal((await server.is('SHUTOFF'))['OS-EXT-STS:power_state'], 4);
    assert.equal(server.pid, undefined);
    await server.act({ 'os-start': null });
    assert.equal((await server.is('ACTIVE'))['OS-EXT-STS:power_state'], 1);
    assert.equal(await server.run('cat /root/file'), 'kept');
    assert.equal(await boots(server), '2');
  });

  test('reboot, soft: the guest boots again in the same process', async () => {
    const { pid } = server;
    await server.run('echo soft > /root/file');
    await server.act({ reboot: { type: 'SOFT' } });
    await server.is('ACTIVE');
    assert.equal(server.pid, pid);
    assert.equal(await boots(server), '3');
    assert.equal(await server.run('cat /root/file'), 'soft');
  });

  test('reboot, hard: a new process, also from SHUTOFF', async () => {
    const { pid } = server;
    await server.run('echo hard > /root/file; sync');
    await server.act({ reboot: { type: 'HARD' } });
    assert.notEqual(server.pid, pid);
    assert.equal(await server.run('cat /root/file'), 'hard');
    await server.act({ 'os-stop': { type: 'HARD' } });
    assert.equal(server.pid, undefined);
    await server.act({ reboot: { type: 'HARD' } });
    await server.is('ACTIVE');
    assert.equal(await server.run('cat /root/file'), 'hard');
  });

  test('pause: the guest stands still while the world goes on; unpause: it goes on', async () => {
    const { pid } = server;
    const uptime = async () => Number(await server.run('cut -d" " -f1 /proc/uptime'));
    const pausedForMs = 3_000;
    const before = await uptime();
    const begun = performance.now();
    await server.act({ pause: null });
    assert.equal((await server.is('PAUSED'))['OS-EXT-STS:power_state'], 3);
    const paused = performance.now();
    await cloud.waitFor('some time', async () => performance.now() - paused > pausedForMs);
    await server.act({ unpause: null });
    await server.is('ACTIVE');
    const passed = (await uptime()) - before;
    const elapsed = (performance.now() - begun) / 1000;
    assert.ok(passed < elapsed - pausedForMs / 1000 + 0.5, `${passed} s passed in the guest, ${elapsed} s outside`);
    assert.equal(server.pid, pid);
  });

  test('suspend: memory on disk and no process; resumed after a restart of the cloud it goes on where it was', async () => {
    await server.run(COUNT);
    const counted = async () => Number(await server.run('cat /run/counter'));
    const uptime = async () => Number(await server.run('cut -d. -f1 /proc/uptime'));
    await cloud.waitFor('the counter counts', async () => (await counted()) > 10);
    const [bootsBefore, upBefore, before] = [await boots(server), await uptime(), await counted()];
    await server.act({ suspend: null });
    await server.is('SUSPENDED');
    assert.equal(server.pid, undefined);
    assert.ok(existsSync(join(server.dir, 'own', 'memory.zst')), 'its memory is in its folder');
    await cloud.restart();
    assert.equal((await server.show())?.status, 'SUSPENDED');
    await server.act({ resume: null });
    await server.is('ACTIVE');
    assert.equal(existsSync(join(server.dir, 'own', 'memory.zst')), false);
    const resumed = await counted();
    assert.ok(resumed >= before, `${resumed} after ${before}`);
    await cloud.waitFor('the counter goes on', async () => (await counted()) > resumed);
    assert.equal(await boots(server), bootsBefore);
    assert.ok((await uptime()) >= upBefore);
  });
});
