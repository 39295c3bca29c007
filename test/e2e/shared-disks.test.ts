/**
 * Moves of a real guest between two hosts that see the same disks, looked at from inside it and from the storage: the disk is the
 * same file all the time, nothing is copied, and what is not a host's own any more it does not touch.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { guestProcesses, type TestCloud, testCloud } from '../cloud.ts';
import { eventually } from '../eventually.ts';
import { guestImage, RealServer } from './real-server.ts';

const LIVE = { 'os-migrateLive': { host: null, block_migration: 'auto' } };
const COUNT = '(n=0; while :; do n=$((n+1)); echo $n > /run/counter; usleep 20000; done) > /dev/null 2>&1 & :';

describe('moves between hosts that share disks', { timeout: 300_000 }, () => {
  let cloud: TestCloud;
  let server: RealServer;
  let inode: number;

  before(async () => {
    cloud = await testCloud({ driver: 'qemu', hosts: 2, sharedDisks: true, config: { resize_on_same_host: 'no' } });
    server = await RealServer.launch(cloud, await guestImage(cloud));
    inode = disk().ino;
  });
  after(() => cloud[Symbol.asyncDispose]());

  const folder = () => join(cloud.sharedDisks, server.id);
  const disk = () => statSync(join(folder(), 'disk.qcow2'));
  const holder = () => JSON.parse(readFileSync(join(folder(), 'holder.json'), 'utf8')).host as string;
  const hostOf = async () =>
    (await cloud.db.queries.selectFrom('servers').select('host').where('id', '=', server.id).executeTakeFirst())
      ?.host ?? '';
  const home = (host: string) => join(cloud.data, 'hosts', host, 'instances', server.id);
  /** One QEMU, one file, one holder, and nothing that belongs to an attempt. */
  const isWhole = async () => {
    assert.equal(guestProcesses(cloud.data).length, 1);
    assert.equal(disk().ino, inode, 'the same file');
    assert.equal(holder(), await hostOf());
    assert.deepEqual(
      readdirSync(folder())
        .filter((name) => !name.startsWith('base-'))
        .toSorted(),
      ['disk.qcow2', 'holder.json'],
    );
    for (const host of readdirSync(join(cloud.data, 'hosts')))
      if (existsSync(home(host))) assert.ok(!readdirSync(home(host)).includes('disk.qcow2'), 'no disk on a host');
  };
  const counter = async () => Number(await server.run('cat /run/counter'));

  test('migrate: it boots on the other host from the same disk; confirmed, the disk stays', async () => {
    const from = await hostOf();
    await server.run('echo moved > /root/file');
    await server.act({ migrate: null }, { as: 'admin' });
    await server.is('VERIFY_RESIZE');
    assert.notEqual(await hostOf(), from);
    await isWhole();
    assert.equal(await server.run('cat /root/file'), 'moved');
    await server.act({ confirmResize: null });
    await server.is('ACTIVE');
    assert.equal(existsSync(home(from)), false);
    await isWhole();
    assert.equal(await server.run('cat /root/file'), 'moved');
  });

  test('resize and back: the disk grows where it is, and keeps what was written meanwhile', async () => {
    const from = await hostOf();
    const sectors = Number(await server.run('cat /sys/block/vda/size'));
    await server.act({ resize: { flavorRef: '84' } });
    await server.is('VERIFY_RESIZE');
    await isWhole();
    await server.run('echo meanwhile > /root/file; sync');
    await server.act({ revertResize: null });
    await server.is('ACTIVE');
    assert.equal(await hostOf(), from);
    await isWhole();
    assert.equal(await server.run('cat /root/file'), 'meanwhile');
    assert.ok(Number(await server.run('cat /sys/block/vda/size')) >= sectors);
  });

  test('live migration: it counts on in its memory, and its disk is not mirrored', async () => {
    await server.run(COUNT);
    const bootId = () => server.run('cat /proc/sys/kernel/random/boot_id');
    for (const way of ['there', 'back']) {
      const [from, boot, counted] = [await hostOf(), await bootId(), await counter()];
      await server.run(`echo ${way} > /root/file`);
      await server.act(LIVE, { as: 'admin' });
      await server.is('ACTIVE');
      assert.notEqual(await hostOf(), from);
      assert.equal(existsSync(home(from)), false);
      await isWhole();
      assert.equal(await bootId(), boot);
      const first = await counter();
      assert.ok(first > counted, `${first} after ${counted}`);
      assert.ok((await counter()) > first, 'it goes on');
      assert.equal(await server.run('cat /root/file'), way);
    }
    await server.run('sync');
    await server.act({ reboot: { type: 'HARD' } });
    assert.equal(await server.run('cat /root/file'), 'back');
  });

  test('whoever else opens the disk of a guest that runs to write is refused', () => {
    const image = join(folder(), 'disk.qcow2');
    const second = spawnSync('qemu-io', ['-c', 'write 0 512', image], { encoding: 'utf8' });
    assert.match(`${second.stdout}${second.stderr}`, /lock/);
  });

  test('evacuate: the disk is kept; the host that comes back ends its process and leaves the disk', async () => {
    await server.run('echo kept > /root/file; sync');
    const from = await hostOf();
    const [pid] = guestProcesses(cloud.data);
    const down = { forced_down: 1 };
    await cloud.db.queries.updateTable('hosts').set(down).where('name', '=', from).execute();
    // What a dead host does not do any more.
    process.kill(pid ?? 0, 'SIGKILL');
    await eventually('it is dead', async () => guestProcesses(cloud.data).length === 0);
    await server.act({ evacuate: {} }, { as: 'admin' });
    await server.is('ACTIVE');
    assert.notEqual(await hostOf(), from);
    assert.equal(await server.run('cat /root/file'), 'kept');
    await cloud.db.queries.updateTable('hosts').set({ forced_down: 0 }).where('name', '=', from).execute();
    // Its agent lives in this process, and tells of its guests when it begins and every half minute: the one or the other.
    await cloud.restart();
    await eventually('the host has removed what is its own', async () => !existsSync(home(from)));
    await isWhole();
    assert.equal(await server.run('cat /root/file'), 'kept');
  });

  test('evacuated from a host that is not dead: it runs elsewhere once that host has given it up', async () => {
    const from = await hostOf();
    const [old] = guestProcesses(cloud.data);
    await cloud.db.queries.updateTable('hosts').set({ forced_down: 1 }).where('name', '=', from).execute();
    // Its agent lives, and is told with its next report that the guest has left.
    await server.act({ evacuate: {} }, { as: 'admin' });
    assert.ok(!guestProcesses(cloud.data).includes(old ?? 0));
    assert.equal(existsSync(home(from)), false);
    await server.is('ACTIVE');
    await isWhole();
    assert.equal(await server.run('cat /root/file'), 'kept');
    await cloud.db.queries.updateTable('hosts').set({ forced_down: 0 }).where('name', '=', from).execute();
  });

  test('deleted, nothing is left of it on the storage', async () => {
    await server.act({ forceDelete: null });
    assert.equal(existsSync(folder()), false);
  });
});
