/** SIGKILL during the upload of an image: it is queued again and has no bytes; the next upload makes it active. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { emptyDisk } from '../cloud.ts';
import { eventually } from '../eventually.ts';
import { CloudToKill } from './cloud-to-kill.ts';

test('an upload that is cut off by SIGKILL leaves a queued image without bytes', async () => {
  await using cloud = await CloudToKill.start('fake');
  const client = await cloud.demo();
  const wanted = { name: 'cut', disk_format: 'qcow2', container_format: 'bare' };
  const { id } = await client.ok<{ id: string }>('POST', '/image/v2/images', { json: wanted });
  const path = `/image/v2/images/${id}`;
  const shown = async () => (await cloud.demo()).ok<{ status: string; size: number | null }>('GET', path);

  const disk = await smallDisk();
  const upload = request(`${cloud.url}${path}/file`, {
    method: 'PUT',
    headers: { 'content-type': 'application/octet-stream', ...client.headers() },
  });
  upload.on('error', () => undefined);
  upload.write(disk);
  upload.write(Buffer.alloc(4 * 2 ** 20));
  await eventually('bytes in the store', async () => (await stored(cloud)).some((name) => name.endsWith('.partial')));
  assert.equal((await shown()).status, 'saving');
  await cloud.kill();
  await cloud.start();

  assert.deepEqual(await stored(cloud), []);
  const { status, size } = await shown();
  assert.deepEqual({ status, size }, { status: 'queued', size: null });
  await (await cloud.demo()).ok('PUT', `${path}/file`, { bytes: disk });
  assert.equal((await shown()).status, 'active');
  assert.deepEqual(await cloud.leaks(), []);
});

async function stored(cloud: CloudToKill): Promise<string[]> {
  return (await readdir(join(cloud.data, 'images'))).filter((name) => name !== 'staging');
}

async function smallDisk(): Promise<Buffer> {
  const dir = await mkdtemp(join(tmpdir(), 'micronova-disk-'));
  try {
    return await emptyDisk(dir);
  } finally {
    await rm(dir, { recursive: true });
  }
}
