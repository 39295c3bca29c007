/**
 * A backup of a whole cloud, taken while its guests run, and another cloud that is made of it on the other engine: the disks of the old
 * guests are in the servers that are started there.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { PostgresCluster } from '#local/postgres.ts';
import { FILES, type Manifest } from '../../src/backup/manifest.ts';
import { backup } from '../../src/cli/backup.ts';
import { restore } from '../../src/cli/restore.ts';
import { TestCloud } from '../cloud.ts';
import { guestImage, RealServer, realCloud } from './real-server.ts';

test('a cloud on SQLite is backed up while it runs, and lives again on PostgreSQL', { timeout: 300_000 }, async () => {
  await using parts = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'micronova-backup-'));
  parts.defer(() => rm(folder, { recursive: true }));
  const dir = join(folder, 'backup');
  const old = await takenFrom(dir);
  assert.equal((await stat(dir)).mode & 0o077, 0, 'nobody else can read it');
  for (const name of Object.values(FILES)) assert.equal((await stat(join(dir, name))).mode & 0o077, 0, name);

  const database = parts.use(await PostgresCluster.create());
  const data = join(folder, 'data');
  const config = join(folder, 'config.toml');
  await writeFile(config, `database = "${database.url('postgres')}"\n`);
  await restore(dir, { data, config });
  await assert.rejects(restore(dir, { data, config }), /there is a cloud in the record already/);

  const cloud = parts.use(
    new TestCloud(data, { driver: 'qemu', config: { database: database.url('postgres') } }, null),
  );
  await cloud.start();
  for (const [name, id] of Object.entries(old.ids)) {
    const server = RealServer.at(cloud, id);
    const shown = await server.is(name === 'lost' ? 'ERROR' : 'SHELVED_OFFLOADED');
    assert.equal(shown.name, name);
    assert.deepEqual(shown.addresses, old.addresses[name]);
    if (name === 'lost') continue;
    await server.act({ unshelve: null });
    await server.is('ACTIVE');
    assert.equal(await server.run('cat /root/file'), `of ${name}`);
  }
  const keys = await (await cloud.as('demo')).ok<{ keypairs: unknown[] }>('GET', '/compute/v2.1/os-keypairs');
  assert.equal(keys.keypairs.length, 1);
  for (const id of Object.values(old.ids)) await RealServer.at(cloud, id).act({ forceDelete: null });
});

/** A cloud with servers in several states, whose backup is taken; the cloud is gone afterwards. */
async function takenFrom(dir: string) {
  await using cloud = await realCloud();
  const demo = await cloud.as('demo');
  await demo.ok('POST', '/compute/v2.1/os-keypairs', { json: { keypair: { name: 'mine', public_key: KEY } } });
  const image = await guestImage(cloud);
  const launched = async (name: string) => {
    const server = await RealServer.launch(cloud, image, { name });
    await server.run(`echo of ${name} > /root/file; sync`);
    return server;
  };
  const running = await launched('running');
  const stopped = await launched('stopped');
  await stopped.act({ 'os-stop': null });
  const shelved = await launched('shelved');
  await shelved.act({ shelve: null });
  await shelved.is('SHELVED_OFFLOADED');
  const lost = await launched('lost');
  await lost.act({ rescue: null });
  const boot = await running.run('cat /proc/sys/kernel/random/boot_id');
  await backup(dir, { data: cloud.data });
  assert.equal(await running.run('cat /proc/sys/kernel/random/boot_id'), boot, 'it was never stopped');
  const { images } = await demo.ok<{ images: { name: string }[] }>('GET', '/image/v2/images?limit=100');
  assert.ok(!images.some(({ name }) => name.startsWith('backup of')), 'its snapshots are gone');
  await assert.rejects(backup(dir, { data: cloud.data }), /is not empty/);
  const all = { running, stopped, shelved, lost };
  const ids: Record<string, string> = {};
  const addresses: Record<string, unknown> = {};
  for (const [name, server] of Object.entries(all)) {
    ids[name] = server.id;
    addresses[name] = (await server.show())?.addresses;
    await server.act({ forceDelete: null });
  }
  return { ids, addresses };
}

test('a backup that is interrupted takes its snapshots away', async () => {
  await using cloud = await realCloud();
  const image = await guestImage(cloud);
  const servers = [await RealServer.launch(cloud, image), await RealServer.launch(cloud, image)];
  const dir = join(cloud.data, 'backup');
  const child = spawn(MICRONOVA, ['backup', dir, '--data', cloud.data], { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = once(child, 'close');
  await once(createInterface(child.stdout), 'line'); // the first has its snapshot
  child.kill('SIGINT');
  assert.equal((await ended)[0], 1);
  const { images } = await (await cloud.as('admin')).ok<{ images: { id: string }[] }>('GET', '/image/v2/images');
  assert.deepEqual(
    images.map(({ id }) => id),
    [image],
  );
  assert.ok(!existsSync(join(dir, FILES.manifest)));
  for (const server of servers) await server.act({ forceDelete: null });
});

test('a backup that is damaged, or cut short, makes no cloud, and says what is wrong', async () => {
  await using parts = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'micronova-backup-'));
  parts.defer(() => rm(folder, { recursive: true }));
  const dir = join(folder, 'backup');
  {
    await using cloud = await realCloud();
    await guestImage(cloud);
    await backup(dir, { data: cloud.data });
  }
  const data = join(folder, 'data');
  const manifest = JSON.parse(await readFile(join(dir, FILES.manifest), 'utf8')) as Manifest;
  const [image] = manifest.images;
  assert.ok(image);
  const bytes = join(dir, FILES.images, image.id);
  const whole = await readFile(bytes);
  await writeFile(bytes, Buffer.concat([whole.subarray(0, -1), Buffer.from([~(whole.at(-1) ?? 0) & 0xff])]));
  await assert.rejects(restore(dir, { data }), /is damaged/);
  await writeFile(bytes, whole);
  const record = join(dir, FILES.record);
  const rows = await readFile(record);
  await truncate(record, rows.length - 20);
  await assert.rejects(restore(dir, { data }), /unexpected end of file/);
  await rm(join(dir, FILES.manifest));
  await assert.rejects(restore(dir, { data }), /is not a whole backup/);
  await writeFile(record, rows);
  await writeFile(join(dir, FILES.manifest), JSON.stringify({ ...manifest, schema: '9999-tomorrow' }));
  await assert.rejects(restore(dir, { data }), /newer version/);
  await writeFile(join(dir, FILES.manifest), JSON.stringify(manifest));
  // What failed before left nothing that is in the way.
  await restore(dir, { data });
  await using cloud = new TestCloud(data, { driver: 'qemu' }, null);
  await cloud.start();
  const { images } = await (await cloud.as('demo')).ok<{ images: { id: string }[] }>('GET', '/image/v2/images');
  assert.deepEqual(
    images.map(({ id }) => id),
    [image.id],
  );
});

const MICRONOVA = new URL('../../bin/micronova', import.meta.url).pathname;
const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1Zl4JhY5WcFvZ0w8o0H1nZ5s5B0B8kZ0k1y0c5m0aA someone';
