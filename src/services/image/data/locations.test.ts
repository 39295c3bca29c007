import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { link, mkdir, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { changeStatus } from '#db/repo/image/images.ts';
import { type ImageHarness, imageHarness, type Token } from '../image-harness.ts';

const run = promisify(execFile);
const hash = (algorithm: string, data: Buffer) => createHash(algorithm).update(data).digest('hex');

const handOver = (cloud: ImageHarness, id: string, path: string, token: Token = 'service') =>
  cloud.call(token, 'POST', `/v2/images/${id}/locations`, { url: pathToFileURL(path).href });

const staged = (cloud: ImageHarness) => readdir(join(cloud.dir, 'staging'));

async function stage(cloud: ImageHarness, data: Buffer): Promise<string> {
  const path = join(cloud.dir, 'staging', 'copy');
  await writeFile(path, data);
  return path;
}

test('a file is taken over without a copy: the same inode, hashed, private, gone from the staging folder', async () => {
  await using cloud = await imageHarness();
  const data = randomBytes(3 * 2 ** 20 + 5);
  const path = await stage(cloud, data);
  const { ino } = await stat(path);
  const id = await cloud.create('service', { owner: 'project-demo', image_type: 'snapshot' });
  const reply = await handOver(cloud, id, path);
  assert.equal(reply.status, 202, reply.body.toString());
  assert.equal(reply.json.status, 'active');
  assert.equal(reply.json.size, data.length);
  assert.equal(reply.json.checksum, hash('md5', data));
  assert.equal(reply.json.os_hash_value, hash('sha512', data));
  const stored = await stat(join(cloud.dir, id));
  assert.equal(stored.ino, ino);
  assert.equal(stored.mode & 0o777, 0o600);
  assert.equal(stored.nlink, 1);
  assert.deepEqual(await staged(cloud), []);
  assert.ok((await cloud.call('demo', 'GET', `/v2/images/${id}/file`)).body.equals(data));
  assert.deepEqual((await handOver(cloud, id, path)).json, reply.json, 'repeated after success');
});

test('repeated while it runs: one answer for both', async () => {
  await using cloud = await imageHarness();
  const path = await stage(cloud, randomBytes(2 ** 20));
  const id = await cloud.create('service');
  const replies = await Promise.all([handOver(cloud, id, path), handOver(cloud, id, path)]);
  assert.deepEqual(
    replies.map(({ status }) => status),
    [202, 202],
  );
  assert.deepEqual(await cloud.stored(), [id]);
});

test('killed between publishing and the record: the file is still offered, and is taken', async () => {
  await using cloud = await imageHarness();
  const path = await stage(cloud, Buffer.from('snapshot'));
  const id = await cloud.create('service');
  await changeStatus(cloud.database.queries, id, 'queued', 'saving');
  await link(path, join(cloud.dir, id));
  await cloud.recover();
  assert.deepEqual(await cloud.stored(), []);
  assert.deepEqual(await staged(cloud), ['copy']);
  assert.equal((await handOver(cloud, id, path)).status, 202);
  assert.equal((await cloud.storedBytes(id)).toString(), 'snapshot');
});

test('killed between the record and the unlink: the second name goes, by a repetition or at the start', async () => {
  await using cloud = await imageHarness();
  const path = await stage(cloud, Buffer.from('snapshot'));
  const id = await cloud.create('service');
  await handOver(cloud, id, path);
  await link(join(cloud.dir, id), path);
  assert.equal((await handOver(cloud, id, path)).status, 202);
  assert.deepEqual(await staged(cloud), []);
  await link(join(cloud.dir, id), path);
  await cloud.recover();
  assert.deepEqual(await staged(cloud), []);
  assert.deepEqual(await cloud.stored(), [id]);
});

test('an earlier request that gives up what it has published does not make the next one fail', async () => {
  await using cloud = await imageHarness();
  const path = await stage(cloud, Buffer.from('snapshot'));
  const target = join(cloud.dir, await cloud.create('service'));
  for (let round = 0; round < 300; round++) {
    await link(path, target);
    const [taken] = await Promise.all([cloud.store.takeOver(basename(target), pathToFileURL(path).href), rm(target)]);
    await taken?.discard();
  }
});

test('what may not be taken over', async () => {
  await using cloud = await imageHarness();
  const staging = join(cloud.dir, 'staging');
  const id = await cloud.create('service');
  const outside = join(cloud.dir, 'outside');
  await writeFile(outside, 'secret');
  await symlink(outside, join(staging, 'symlink'));
  await symlink(cloud.dir, join(staging, 'folder-symlink'));
  await link(outside, join(staging, 'hardlink'));
  await mkdir(join(staging, 'folder'));
  await run('mkfifo', [join(staging, 'pipe')]);
  const cases: readonly [string, RegExp][] = [
    [outside, /outside the staging folder/],
    ['/etc/passwd', /outside the staging folder/],
    [join(staging, '..', 'outside'), /outside the staging folder/],
    [join(staging, 'folder-symlink', 'outside'), /outside the staging folder/],
    [join(staging, 'symlink'), /symbolic link/],
    [join(staging, 'hardlink'), /other names/],
    [join(staging, 'folder'), /not a regular file/],
    [join(staging, 'pipe'), /not a regular file/],
    [join(staging, 'absent'), /There is no file/],
  ];
  for (const [path, reason] of cases) {
    const reply = await handOver(cloud, id, path);
    assert.equal(reply.status, 400, path);
    assert.match(reply.body.toString(), reason, path);
  }
  for (const url of ['http://localhost/x', 'file://host/x', 'x', 'file:///a%2fb', 'file:///a%00b'])
    assert.equal((await cloud.call('service', 'POST', `/v2/images/${id}/locations`, { url })).status, 400, url);
  assert.equal((await cloud.call('demo', 'GET', `/v2/images/${id}`)).status, 404);
  const own = await cloud.create('demo');
  assert.equal((await handOver(cloud, own, outside, 'demo')).status, 403);
  assert.deepEqual(await cloud.stored(), ['outside']);
  assert.equal((await cloud.call('service', 'GET', `/v2/images/${id}`)).json.status, 'queued');
});

test('a hostile or contradicting file is refused and given back', async () => {
  await using cloud = await imageHarness();
  const path = await stage(cloud, Buffer.alloc(100_000, 1));
  const id = await cloud.create('service', { disk_format: 'qcow2' });
  const reply = await handOver(cloud, id, path);
  assert.equal(reply.status, 400);
  assert.match(reply.body.toString(), /declared qcow2/);
  assert.deepEqual(await staged(cloud), ['copy']);
  assert.deepEqual(await cloud.stored(), []);
  assert.equal((await cloud.call('service', 'GET', `/v2/images/${id}`)).json.status, 'queued');
  const active = await cloud.create('service');
  await cloud.put('service', active, Buffer.from('x'));
  assert.equal((await handOver(cloud, active, path)).status, 409);
  assert.deepEqual(await staged(cloud), ['copy']);
});
