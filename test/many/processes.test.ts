/** Roles in processes of their own, over PostgreSQL and RabbitMQ: what a cloud in one process does, this does too. */
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { emptyDisk } from '../cloud.ts';
import { eventually } from '../eventually.ts';
import { CloudOfProcesses } from './cloud-of-processes.ts';

describe('a cloud of many processes', { timeout: 240_000 }, () => {
  let cloud: CloudOfProcesses;
  let image: string;

  before(async () => {
    cloud = await CloudOfProcesses.create();
    await cloud.add('api', 'api');
    await Promise.all([
      cloud.add('control-1', 'conductor,scheduler'),
      cloud.add('control-2', 'conductor,scheduler'),
      cloud.add('host-a', 'compute', { driver: 'fake' }),
      cloud.add('host-b', 'compute', { driver: 'fake' }),
    ]);
    await cloud.open();
    const demo = await cloud.as('demo');
    const wanted = { name: 'tiny', disk_format: 'qcow2', container_format: 'bare' };
    image = (await demo.ok<{ id: string }>('POST', '/image/v2/images', { json: wanted })).id;
    await demo.ok('PUT', `/image/v2/images/${image}/file`, { bytes: await emptyDisk(cloud.dir) });
  });
  after(() => cloud[Symbol.asyncDispose]());

  const hostOf = async (id: string) =>
    (await cloud.db.queries.selectFrom('servers').select('host').where('id', '=', id).executeTakeFirst())?.host ?? '';
  const filesOn = (host: string) => readdir(join(cloud.dir, 'hosts', host, 'instances')).catch(() => []);

  test('launches, snapshots over HTTP, moves and deletes a server', async () => {
    const server = await cloud.launch(image);
    await server.is('ACTIVE');
    const demo = await cloud.as('demo');
    const { imageId } = await server.snapshot();
    await eventually('the snapshot is active', async () => {
      const { status } = await demo.ok<{ status: string }>('GET', `/image/v2/images/${imageId}`);
      return status === 'active';
    });
    await server.is('ACTIVE');
    const from = await hostOf(server.id);
    await server.act('migrate', null, 'admin');
    await server.is('VERIFY_RESIZE');
    const to = await hostOf(server.id);
    assert.notEqual(to, from);
    await server.act('confirmResize');
    await server.is('ACTIVE');
    assert.deepEqual([await filesOn(from), await filesOn(to)], [[], [server.id]]);
    await server.delete();
    await server.isGone();
    await demo.ok('DELETE', `/image/v2/images/${imageId}`);
    assert.deepEqual(await cloud.leaks(), []);
  });

  test('shows the serial line of a guest on another machine', async () => {
    const server = await cloud.launch(image);
    await server.is('ACTIVE');
    const answer = await server.ask('os-getSerialConsole', { type: 'serial' });
    assert.equal(answer.status, 400, 'from 2.6 on consoles are asked for in another way');
    const demo = await cloud.as('demo');
    const wanted = { remote_console: { protocol: 'serial', type: 'serial' } };
    const path = `/compute/v2.1/servers/${server.id}/remote-consoles`;
    const { remote_console: console } = await demo.ok<{ remote_console: { url: string } }>('POST', path, {
      json: wanted,
    });
    const socket = new WebSocket(console.url, ['binary']);
    socket.binaryType = 'arraybuffer';
    const said = await new Promise<string>((resolve, reject) => {
      socket.onmessage = ({ data }) => resolve(Buffer.from(data as ArrayBuffer).toString());
      socket.onerror = () => reject(new Error('no console'));
    });
    assert.match(said, /fake guest/);
    socket.close();
    await server.delete();
    await server.isGone();
  });

  test('goes on with every launch when one of two conductors is killed', async () => {
    const servers = await Promise.all(Array.from({ length: 20 }, () => cloud.launch(image)));
    await cloud.member('control-1').kill();
    // What it had in hand is another's when its leases have run out.
    await eventually(
      'every launch has ended',
      async () =>
        (await Promise.all(servers.map((server) => server.show()))).every((shown) => shown?.status !== 'BUILD'),
      { withinMs: 60_000 },
    );
    for (const server of servers) await server.is('ACTIVE');
    await cloud.member('control-1').start();
    for (const server of servers) await server.delete();
    for (const server of servers) await server.isGone();
    assert.deepEqual(await cloud.leaks(), []);
  });

  test('a server of a host that is killed and declared dead lives on another; the host removes its own when it is back', async () => {
    const server = await cloud.launch(image);
    await server.is('ACTIVE');
    const from = await hostOf(server.id);
    assert.equal((await server.ask('evacuate', {}, 'admin')).status, 400, 'its host is up');
    await cloud.member(from).kill();
    const setDown = (down: number) =>
      cloud.db.queries.updateTable('hosts').set({ forced_down: down }).where('name', '=', from).execute();
    await setDown(1);
    await server.act('evacuate', {}, 'admin');
    const { status } = await server.is('ACTIVE');
    assert.equal(status, 'ACTIVE');
    const to = await hostOf(server.id);
    assert.notEqual(to, from);
    assert.deepEqual([await filesOn(from), await filesOn(to)], [[server.id], [server.id]]);
    await setDown(0);
    await cloud.member(from).start();
    assert.deepEqual([await filesOn(from), await filesOn(to)], [[], [server.id]]);
    await server.delete();
    await server.isGone();
    assert.deepEqual(await cloud.leaks(), []);
  });

  test('a host that is killed re-attaches to its guests, and is not needed for others', async () => {
    const [one, two] = [await cloud.launch(image), await cloud.launch(image)];
    for (const server of [one, two]) await server.is('ACTIVE');
    const host = await hostOf(one.id);
    await cloud.member(host).kill();
    await cloud.member(host).start();
    await one.act('os-stop');
    await one.is('SHUTOFF');
    for (const server of [one, two]) {
      await server.delete();
      await server.isGone();
    }
    assert.deepEqual(await cloud.leaks(), []);
  });
});
