/** Backup, rebuild, rescue and shelve of a real guest: what is on its disks, its card, its password. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import type { TestCloud } from '../cloud.ts';
import { guestImage, PASSWORD, RealServer, realCloud } from './real-server.ts';

const card = (server: RealServer) =>
  server.run('cat /sys/class/net/eth0/address; ip -4 -o addr show dev eth0 | awk "{print \\$4}"');

describe('disks', { timeout: 300_000 }, () => {
  let cloud: TestCloud;
  let image: string;
  let server: RealServer;

  before(async () => {
    cloud = await realCloud();
    image = await guestImage(cloud);
    server = await RealServer.launch(cloud, image, { name: 'disks', metadata: { role: 'web' } });
  });
  after(() => cloud[Symbol.asyncDispose]());

  const images = async (query = '') => {
    const client = await cloud.as('demo');
    type Body = { images: { id: string; name: string; status: string; image_type?: string }[] };
    return (await client.ok<Body>('GET', `/image/v2/images${query}`)).images;
  };

  test('backup: the newest of its type is kept, and has the data of its moment', async () => {
    const backup = (name: string) => server.act({ createBackup: { name, backup_type: 'daily', rotation: 1 } });
    await server.run('echo first > /root/file; sync');
    await backup('monday');
    await server.run('echo second > /root/file; sync');
    await backup('tuesday');
    await server.run('echo third > /root/file; sync');
    const kept = await images('?image_type=backup');
    assert.deepEqual(
      kept.map(({ name, status }) => [name, status]),
      [['tuesday', 'active']],
    );
    const copy = await RealServer.launch(cloud, kept[0]?.id ?? '', { name: 'copy' });
    assert.equal(await copy.run('cat /root/file'), 'second');
    // Without an agent it is as after a power cut; life.test.ts shows that with one it is not.
    assert.equal(await copy.run('dmesg | grep -c "recovery complete"'), '1');
    await copy.act({ forceDelete: null });
    assert.equal(copy.pid, undefined);
    assert.equal(existsSync(copy.dir), false);
  });

  test('rescue: the broken disk is the second; what is mended there is there after unrescue', async () => {
    await server.run('echo broken > /root/state; sync');
    const { body } = await server.act({ rescue: {} });
    await server.is('RESCUE');
    const rescuePassword = body.adminPass ?? '';
    assert.notEqual(rescuePassword, PASSWORD);
    {
      using shell = await server.shell(rescuePassword);
      assert.equal(await shell.run('cat /var/lib/cloud/boots'), '1');
      await shell.run('test ! -e /root/state');
      await shell.run('mkdir -p /mnt && mount /dev/vdb2 /mnt');
      assert.equal(await shell.run('cat /mnt/root/state'), 'broken');
      await shell.run('echo mended > /mnt/root/state && umount /mnt');
    }
    await server.act({ unrescue: null });
    await server.is('ACTIVE');
    assert.equal(await server.run('cat /root/state'), 'mended');
    await server.run('test ! -e /dev/vdc');
    assert.deepEqual(
      readdirSync(server.dir).filter((name) => name.startsWith('rescue')),
      [],
    );
  });

  test('rebuild: a new root disk; id, card, address, flavor, metadata and host stay', async () => {
    const [before, cardBefore] = [await server.show(), await card(server)];
    await server.run('echo old > /root/old; sync');
    const password = 'battery-staple';
    await server.act({ rebuild: { imageRef: image, adminPass: password } });
    const after = await server.is('ACTIVE');
    for (const key of ['id', 'name', 'flavor', 'metadata', 'hostId', 'addresses', 'created'] as const)
      assert.deepEqual(after[key], before?.[key], key);
    using shell = await server.shell(password);
    await shell.run('test ! -e /root/old');
    assert.equal(await shell.run('cat /var/lib/cloud/boots'), '1');
    assert.equal(
      await shell.run('cat /sys/class/net/eth0/address; ip -4 -o addr show dev eth0 | awk "{print \\$4}"'),
      cardBefore,
    );
    const disks = readdirSync(server.dir).filter((name) => name.endsWith('.qcow2'));
    assert.equal(disks.length, 1, `the old disk is gone: ${disks}`);
  });

  test('rebuild from an image that cannot be had: the old disk is back and the fault says why', async () => {
    const client = await cloud.as('demo');
    const doomed = await guestImage(cloud);
    await server.run('echo mine > /root/mine; sync', 'battery-staple');
    // It is there when the request is accepted, and gone when the host wants it.
    const store = `${cloud.data}/images/${doomed}`;
    const { rm } = await import('node:fs/promises');
    await rm(store);
    await server.act({ rebuild: { imageRef: doomed } }, { ends: 'undone' });
    const shown = await server.is('ERROR');
    assert.match(shown.fault?.message ?? '', /image/i);
    await server.act({ reboot: { type: 'HARD' } });
    assert.equal(await server.run('cat /root/mine', 'battery-staple'), 'mine');
    await client.request('DELETE', `/image/v2/images/${doomed}`);
  });

  test('shelve: nothing is left on the host; unshelve: the data is back and the image gone', async () => {
    const shell = await server.shell('battery-staple');
    await shell.run('echo shelved > /root/shelved');
    const cardBefore = await shell.run('cat /sys/class/net/eth0/address');
    shell[Symbol.dispose]();
    await server.act({ shelve: null });
    const shelved = await server.is('SHELVED_OFFLOADED');
    assert.equal(shelved.hostId, '');
    assert.equal(server.pid, undefined);
    assert.equal(existsSync(server.dir), false);
    const rooms = await cloud.db.queries.selectFrom('allocations').selectAll().execute();
    assert.deepEqual(rooms, []);
    assert.equal((await images('?name=disks-shelved')).length, 1);
    await server.act({ unshelve: null });
    await server.is('ACTIVE');
    assert.deepEqual(await images('?name=disks-shelved'), []);
    using again = await server.shell('battery-staple');
    assert.equal(await again.run('cat /root/shelved'), 'shelved');
    assert.equal(await again.run('cat /sys/class/net/eth0/address'), cardBefore);
  });
});
