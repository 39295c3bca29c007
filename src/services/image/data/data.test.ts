import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { type ClientRequest, request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { changeStatus, findImage } from '#db/repo/image/images.ts';
import { type ImageHarness, imageHarness } from '../image-harness.ts';

const hash = (algorithm: string, data: Buffer) => createHash(algorithm).update(data).digest('hex');

/** A PUT over a real socket whose body the test writes itself. */
function startUpload(base: string, id: string): ClientRequest {
  return httpRequest(`${base}/v2/images/${id}/file`, {
    method: 'PUT',
    headers: { 'x-auth-token': 'demo', 'content-type': 'application/octet-stream' },
  });
}

async function statusOf(cloud: ImageHarness, id: string): Promise<string | undefined> {
  return (await findImage(cloud.database.queries, id))?.status;
}

/** Resolves when the image has this status; the service says nothing by itself, so the record is read each turn. */
async function until(cloud: ImageHarness, id: string, status: string): Promise<void> {
  while ((await statusOf(cloud, id)) !== status) await new Promise((resolve) => setImmediate(resolve));
}

test('uploaded bytes come back, with both hashes, and lie in one private file', async () => {
  await using cloud = await imageHarness();
  const data = randomBytes(5 * 2 ** 20 + 17);
  const id = await cloud.create('demo');
  assert.equal((await cloud.call('demo', 'GET', `/v2/images/${id}/file`)).status, 204);
  assert.equal((await cloud.put('demo', id, data)).status, 204);
  const { json } = await cloud.call('demo', 'GET', `/v2/images/${id}`);
  assert.equal(json.status, 'active');
  assert.equal(json.size, data.length);
  assert.equal(json.virtual_size, data.length);
  assert.equal(json.checksum, hash('md5', data));
  assert.equal(json.os_hash_algo, 'sha512');
  assert.equal(json.os_hash_value, hash('sha512', data));
  const download = await cloud.call('demo', 'GET', `/v2/images/${id}/file`);
  assert.equal(download.status, 200);
  assert.ok(download.body.equals(data));
  assert.equal(download.headers['content-md5'], hash('md5', data));
  assert.equal(download.headers['content-length'], String(data.length));
  assert.deepEqual(await cloud.stored(), [id]);
  assert.ok((await cloud.storedBytes(id)).equals(data));
  assert.equal((await cloud.put('demo', id, data)).status, 409);
  assert.equal((await cloud.call('demo', 'DELETE', `/v2/images/${id}`)).status, 204);
  assert.deepEqual(await cloud.stored(), []);
});

test('a chunked upload over a real socket arrives whole', async () => {
  await using cloud = await imageHarness();
  const base = await cloud.listen();
  const id = await cloud.create('demo');
  const data = randomBytes(40 * 2 ** 20);
  const upload = startUpload(base, id);
  for (let at = 0; at < data.length; ) {
    const length = 1 + ((at * 7) % 300_000);
    if (!upload.write(data.subarray(at, at + length))) await once(upload, 'drain');
    at += length;
  }
  upload.end();
  const [reply] = await once(upload, 'response');
  assert.equal(reply.statusCode, 204);
  reply.resume();
  assert.ok((await cloud.storedBytes(id)).equals(data));
  assert.equal((await findImage(cloud.database.queries, id))?.os_hash_value, hash('sha512', data));
  const response = await fetch(`${base}/v2/images/${id}/file`, { headers: { 'x-auth-token': 'demo' } });
  assert.ok(Buffer.from(await response.arrayBuffer()).equals(data));
});

test('a client that goes away leaves a queued image and no bytes; the upload can be repeated', async () => {
  await using cloud = await imageHarness();
  const base = await cloud.listen();
  const id = await cloud.create('demo');
  const upload = startUpload(base, id);
  upload.on('error', () => {});
  upload.write(randomBytes(3 * 2 ** 20));
  await until(cloud, id, 'saving');
  upload.destroy();
  await until(cloud, id, 'queued');
  assert.deepEqual(await cloud.stored(), []);
  assert.equal((await cloud.put('demo', id, Buffer.from('again'))).status, 204);
});

test('two uploads of one image: one wins, the other is a conflict', async () => {
  await using cloud = await imageHarness();
  const id = await cloud.create('demo');
  const replies = await Promise.all([
    cloud.put('demo', id, Buffer.alloc(100, 1)),
    cloud.put('demo', id, Buffer.alloc(100, 2)),
  ]);
  assert.deepEqual(replies.map(({ status }) => status).toSorted(), [204, 409]);
  assert.deepEqual(await cloud.stored(), [id]);
});

test('deleting during an upload leaves nothing behind', async () => {
  await using cloud = await imageHarness();
  const base = await cloud.listen();
  const id = await cloud.create('demo');
  const upload = startUpload(base, id);
  upload.write('first');
  await until(cloud, id, 'saving');
  assert.equal((await cloud.call('demo', 'DELETE', `/v2/images/${id}`)).status, 204);
  upload.end('second');
  const [reply] = await once(upload, 'response');
  assert.equal(reply.statusCode, 404);
  reply.resume();
  assert.deepEqual(await cloud.stored(), []);
});

test('deleting during a download does not break it', async () => {
  await using cloud = await imageHarness();
  const base = await cloud.listen();
  const id = await cloud.create('demo');
  const data = randomBytes(30 * 2 ** 20);
  await cloud.put('demo', id, data);
  const response = await fetch(`${base}/v2/images/${id}/file`, { headers: { 'x-auth-token': 'demo' } });
  assert.equal((await cloud.call('demo', 'DELETE', `/v2/images/${id}`)).status, 204);
  assert.deepEqual(await cloud.stored(), []);
  assert.ok(Buffer.from(await response.arrayBuffer()).equals(data));
});

test('ranges', async () => {
  await using cloud = await imageHarness();
  const id = await cloud.create('demo');
  const data = Buffer.from('0123456789');
  await cloud.put('demo', id, data);
  const get = (range: string) => cloud.call('demo', 'GET', `/v2/images/${id}/file`, undefined, { range });
  const cases = [
    ['bytes=0-3', '0123', 'bytes 0-3/10'],
    ['bytes=4-', '456789', 'bytes 4-9/10'],
    ['bytes=-2', '89', 'bytes 8-9/10'],
    ['bytes=8-100', '89', 'bytes 8-9/10'],
    ['bytes=-100', '0123456789', 'bytes 0-9/10'],
  ] as const;
  for (const [range, text, header] of cases) {
    const reply = await get(range);
    assert.equal(reply.status, 206, range);
    assert.equal(reply.body.toString(), text);
    assert.equal(reply.headers['content-range'], header);
    assert.equal(reply.headers['content-length'], String(text.length));
  }
  for (const range of ['bytes=10-', 'bytes=5-4', 'bytes=-0', 'bytes=x'])
    assert.equal((await get(range)).status, 416, range);
  assert.equal((await get('items=1')).status, 200);
});

test('an empty image is an image', async () => {
  await using cloud = await imageHarness();
  const id = await cloud.create('demo');
  assert.equal((await cloud.put('demo', id, Buffer.alloc(0))).status, 204);
  const reply = await cloud.call('demo', 'GET', `/v2/images/${id}/file`);
  assert.equal(reply.status, 200);
  assert.equal(reply.body.length, 0);
});

test('refused uploads: wrong media type, no formats, too large, hostile content', async () => {
  await using cloud = await imageHarness({ maxImageBytes: 2 ** 21 });
  const id = await cloud.create('demo');
  assert.equal((await cloud.call('demo', 'PUT', `/v2/images/${id}/file`, {})).status, 415);
  const bare = await cloud.create('demo', { disk_format: null });
  assert.equal((await cloud.put('demo', bare, Buffer.from('x'))).status, 400);
  assert.equal((await cloud.put('demo', id, Buffer.alloc(2 ** 21 + 1))).status, 413);
  const hidden = await cloud.put('demo', id, Buffer.concat([Buffer.from('QFI\xfb', 'latin1'), Buffer.alloc(2 ** 20)]));
  assert.equal(hidden.status, 400);
  assert.match(hidden.body.toString(), /declared raw, but its content is qcow2/);
  assert.equal(await statusOf(cloud, id), 'queued');
  assert.deepEqual(await cloud.stored(), []);
  assert.equal((await cloud.put('demo', id, Buffer.from('honest'))).status, 204);
});

test('a refusal reaches a client that is still sending, before the end of its body', async () => {
  await using cloud = await imageHarness();
  const base = await cloud.listen();
  const id = await cloud.create('demo', { disk_format: 'qcow2' });
  const upload = startUpload(base, id);
  upload.write(Buffer.alloc(2 * 2 ** 20, 1));
  const [reply] = await once(upload, 'response');
  assert.equal(reply.statusCode, 400);
  assert.equal(await statusOf(cloud, id), 'queued');
  assert.deepEqual(await cloud.stored(), []);
  reply.resume();
  upload.end(Buffer.alloc(2 ** 20));
  await once(reply, 'end');
});

test('an oversized stream without a length is cut off', async () => {
  await using cloud = await imageHarness({ maxImageBytes: 2 ** 20 });
  const base = await cloud.listen();
  const id = await cloud.create('demo');
  const upload = startUpload(base, id);
  upload.on('error', () => {});
  upload.write(Buffer.alloc(3 * 2 ** 20));
  const [reply] = await once(upload, 'response');
  assert.equal(reply.statusCode, 413);
  reply.resume();
  upload.destroy();
  await until(cloud, id, 'queued');
  assert.deepEqual(await cloud.stored(), []);
});

test('a full disk is said so, and the image can be uploaded later', async () => {
  await using cloud = await imageHarness();
  const id = await cloud.create('demo');
  const { openWrite } = cloud.store;
  const full = Object.assign(new Error('no space'), { code: 'ENOSPC' });
  Object.assign(cloud.store, {
    openWrite: async (image: string) => ({ ...(await openWrite(image)), append: () => Promise.reject(full) }),
  });
  const reply = await cloud.put('demo', id, Buffer.from('data'));
  assert.equal(reply.status, 413);
  assert.match(reply.body.toString(), /image store is full/);
  assert.equal(await statusOf(cloud, id), 'queued');
  assert.deepEqual(await cloud.stored(), []);
  Object.assign(cloud.store, { openWrite });
  assert.equal((await cloud.put('demo', id, Buffer.from('data'))).status, 204);
});

test('more uploads than allowed are told to come back', async () => {
  await using cloud = await imageHarness({ maxUploads: 1 });
  const base = await cloud.listen();
  const [first, second] = [await cloud.create('demo'), await cloud.create('demo')];
  const upload = startUpload(base, first);
  upload.write('x');
  await until(cloud, first, 'saving');
  assert.equal((await cloud.put('demo', second, Buffer.from('y'))).status, 503);
  upload.end();
  const [reply] = await once(upload, 'response');
  reply.resume();
  assert.equal((await cloud.put('demo', second, Buffer.from('y'))).status, 204);
});

test('after a kill: interrupted uploads are queued, leftovers gone, whole images untouched', async () => {
  await using cloud = await imageHarness();
  const [whole, cut, published] = [await cloud.create('demo'), await cloud.create('demo'), await cloud.create('demo')];
  await cloud.put('demo', whole, Buffer.from('whole'));
  await changeStatus(cloud.database.queries, cut, 'queued', 'saving');
  await changeStatus(cloud.database.queries, published, 'queued', 'saving');
  const images = cloud.dir;
  await writeFile(join(images, `${cut}.partial`), 'half');
  await writeFile(join(images, published), 'renamed, but the record was not written');
  await writeFile(join(images, '11111111-1111-4111-8111-111111111111'), 'deleted record');
  await cloud.recover();
  assert.deepEqual(await cloud.stored(), [whole]);
  assert.equal(await statusOf(cloud, cut), 'queued');
  assert.equal(await statusOf(cloud, published), 'queued');
  assert.equal((await readFile(join(images, whole))).toString(), 'whole');
  await cloud.recover();
  assert.deepEqual(await cloud.stored(), [whole]);
});

test('an empty database does not empty the store', async () => {
  await using cloud = await imageHarness();
  const file = '11111111-1111-4111-8111-111111111111';
  await writeFile(join(cloud.dir, file), 'of another database');
  await cloud.recover();
  assert.deepEqual(await cloud.stored(), [file]);
});
