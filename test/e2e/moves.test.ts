/**
 * Migrate and resize on a real guest, between two hosts and on one: looked at from inside the guest (its files, the size of its
 * disk and memory) and from the hosts (processes, folders).
 */
import assert from 'node:assert/strict';
import { existsSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { TestCloud } from '../cloud.ts';
import { guestImage, RealServer, realCloud } from './real-server.ts';

const LARGER = 'larger';

describe('cold moves', { timeout: 300_000 }, () => {
  let cloud: TestCloud;
  let server: RealServer;

  before(async () => {
    cloud = await realCloud({ hosts: 2, resize_on_same_host: 'no' });
    const admin = await cloud.as('admin');
    const flavor = { id: LARGER, name: LARGER, ram: 256, vcpus: 2, disk: 2 };
    await admin.ok('POST', '/compute/v2.1/flavors', { json: { flavor } });
    server = await RealServer.launch(cloud, await guestImage(cloud));
  });
  after(() => cloud[Symbol.asyncDispose]());

  /** Names of the hosts that have files of the server. */
  const hosts = async () => {
    const rows = await cloud.db.queries.selectFrom('hosts').select('name').orderBy('name').execute();
    return rows
      .map(({ name }) => name)
      .filter((name) => existsSync(join(cloud.data, 'hosts', name, 'instances', server.id)));
  };
  const hostOf = async () =>
    (await cloud.db.queries.selectFrom('servers').select('host').where('id', '=', server.id).executeTakeFirst())?.host;
  const diskMib = async () => Number(await server.run('cat /sys/block/vda/size')) / 2048;
  const memoryMib = async () =>
    Math.round(Number(await server.run("awk '/MemTotal/ {print $2}' /proc/meminfo")) / 1024);

  test('migrate: it boots on the other host with its files; confirmed, nothing is left where it was', async () => {
    const from = await hostOf();
    await server.run('echo moved > /root/file');
    await server.act({ migrate: null }, { as: 'admin' });
    await server.is('VERIFY_RESIZE');
    const to = await hostOf();
    assert.notEqual(to, from);
    assert.equal((await hosts()).length, 2);
    assert.ok(readlinkSync(server.dir).includes(`/hosts/${to}/`));
    assert.equal(await server.run('cat /root/file'), 'moved');
    await server.act({ confirmResize: null });
    await server.is('ACTIVE');
    assert.deepEqual(await hosts(), [to]);
    assert.equal(await server.run('cat /root/file'), 'moved');
  });

  test('resize: more memory and a larger disk on the other host; reverted, the old ones and the files as they were', async () => {
    const from = await hostOf();
    const [memory, disk] = [await memoryMib(), await diskMib()];
    await server.act({ resize: { flavorRef: LARGER } });
    await server.is('VERIFY_RESIZE');
    assert.notEqual(await hostOf(), from);
    assert.ok((await memoryMib()) > memory + 100);
    assert.equal(await diskMib(), 2 * disk);
    assert.equal(await server.run('nproc'), '2');
    await server.run('echo new > /root/file; sync');
    await server.act({ revertResize: null });
    await server.is('ACTIVE');
    assert.equal(await hostOf(), from);
    assert.deepEqual(await hosts(), [from]);
    assert.deepEqual([await memoryMib(), await diskMib()], [memory, disk]);
    assert.equal(await server.run('cat /root/file'), 'moved', 'as it was when it left');
  });

  test('a server that is shut off moves as well, and stays so', async () => {
    await server.act({ 'os-stop': null });
    await server.act({ resize: { flavorRef: LARGER } });
    await server.is('VERIFY_RESIZE');
    assert.equal(server.pid, undefined);
    await server.act({ confirmResize: null });
    await server.is('SHUTOFF');
    await server.act({ 'os-start': null });
    assert.equal(await server.run('cat /root/file'), 'moved');
    assert.equal(await server.run('nproc'), '2');
  });
});

test('resize on the only host: a copy of the disk that grows; confirmed, the old one is gone', async () => {
  await using cloud = await realCloud();
  const server = await RealServer.launch(cloud, await guestImage(cloud));
  await server.run('echo same > /root/file');
  await server.act({ resize: { flavorRef: '84' } });
  await server.is('VERIFY_RESIZE');
  assert.equal(await server.run('cat /root/file'), 'same');
  await server.act({ confirmResize: null });
  await server.is('ACTIVE');
  assert.equal(await server.run('cat /root/file'), 'same');
  await server.act({ forceDelete: null });
});
