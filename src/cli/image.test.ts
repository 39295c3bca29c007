import assert from 'node:assert/strict';
import { mkdtemp, readdir, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { uploadImage } from './image.ts';
import type { OpenStack } from './openstack.ts';

test('an upload that nobody reads any more says why, and leaves no open file', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'micronova-image-'));
  const path = join(dir, 'disk.raw');
  await writeFile(path, 'data');
  const gone = {
    async request(method: string) {
      if (method === 'POST') return { body: { id: 'one' } };
      throw new Error(method === 'PUT' ? 'the cloud is gone' : 'so nothing can be deleted');
    },
  };
  try {
    // A stand-in with the method that is called.
    const cloud = gone as unknown as OpenStack;
    await assert.rejects(uploadImage(cloud, path, { name: 'disk', format: 'raw', isPublic: false }), /cloud is gone/);
    const open = await Promise.all(
      (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
    );
    assert.ok(!open.includes(path));
  } finally {
    await rm(dir, { recursive: true });
  }
});
