/** The world changes by itself: what a real guest and its host do without being asked, and what the record makes of it. */
import assert from 'node:assert/strict';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { TestCloud } from '../cloud.ts';
import { guestImage, RealServer, realCloud } from './real-server.ts';

describe('the world by itself', { timeout: 300_000 }, () => {
  let cloud: TestCloud;
  let server: RealServer;

  before(async () => {
    cloud = await realCloud({ start_lost_guests: 'yes' });
    server = await RealServer.launch(cloud, await guestImage(cloud));
  });
  after(() => cloud[Symbol.asyncDispose]());

  const details = async () => {
    const action = await server.lastAction();
    return [action.action, ...action.events.map((event) => (event as { details?: string | null }).details)];
  };

  test('a guest that powers off is SHUTOFF, and an action says so', async () => {
    const shell = await server.shell();
    await shell.run('(sleep 1; poweroff) > /dev/null 2>&1 & :');
    shell[Symbol.dispose]();
    await server.is('SHUTOFF');
    assert.deepEqual(await details(), ['stop', 'guest powered off']);
    await server.act({ 'os-start': null });
  });

  test('a QEMU that is killed leaves a server that is SHUTOFF and starts again', async () => {
    process.kill(server.pid ?? 0, 'SIGKILL');
    const shown = await server.is('SHUTOFF');
    assert.equal(shown['OS-EXT-STS:power_state'], 6);
    const [action, detail] = await details();
    assert.equal(action, 'stop');
    assert.match(detail ?? '', /killed by signal 9|QEMU died/);
    await server.act({ 'os-start': null });
  });

  test('a guest that ran when its host went down is started again, where that is wanted', async () => {
    await server.run('echo before > /root/file; sync');
    const pid = server.pid ?? 0;
    await cloud.stop();
    process.kill(pid, 'SIGKILL');
    // As it looks after a restart of the machine: the process is gone, and belonged to another boot.
    const handle = join(server.dir, 'own', 'handle.json');
    const noted = JSON.parse(readFileSync(handle, 'utf8'));
    writeFileSync(handle, JSON.stringify({ ...noted, bootId: 'another' }));
    await cloud.start();
    await cloud.waitFor('a new process', async () => server.pid !== undefined && server.pid !== pid);
    await server.is('ACTIVE');
    assert.equal(await server.run('cat /root/file'), 'before');
    const path = `${server.path}/os-instance-actions`;
    type Actions = { instanceActions: { action: string }[] };
    const { instanceActions } = await (await cloud.as('demo')).ok<Actions>('GET', path);
    const newest = instanceActions.slice(0, 2).map(({ action }) => action);
    assert.deepEqual(newest.toSorted(), ['start', 'stop']);
  });

  test('a disk that vanished: ERROR with the reason, and nothing else is touched', async () => {
    await server.act({ 'os-stop': null });
    const disk = join(server.dir, 'disk.qcow2');
    renameSync(disk, `${disk}.away`);
    await cloud.restart();
    const shown = await server.is('ERROR');
    assert.match(shown.fault?.message ?? '', /disk\.qcow2/);
    // Found again, it is as it was.
    renameSync(`${disk}.away`, disk);
    await server.act({ reboot: { type: 'HARD' } });
    await server.is('ACTIVE');
    assert.equal(await server.run('cat /root/file'), 'before');
  });

  test('an image that is deleted while a server uses it is not missed', async () => {
    const client = await cloud.as('demo');
    const image = (await server.show())?.image.id;
    await client.ok('DELETE', `/image/v2/images/${image}`);
    await server.act({ reboot: { type: 'HARD' } });
    assert.equal(await server.run('cat /root/file'), 'before');
    const refused = await server.ask({ rebuild: { imageRef: image } });
    assert.equal(refused.status, 400);
  });
});
