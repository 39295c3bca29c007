/** Copies of disks that were cancelled or failed leave nothing in the folder that the image service looks into. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ImageClient } from '#http/image-client.ts';
import { Backups } from './backups.ts';
import { fakeDriver } from './driver/fake/fake-driver.ts';

const IMAGE = '00000000-0000-4000-8000-000000000001';

async function withBackups(body: (backups: Backups, dir: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'micronova-backups-'));
  try {
    const driver = fakeDriver({ instancesDir: dir, persist: false });
    // Nothing here asks the image service.
    await body(new Backups({ dir, isStaging: true, driver, images: {} as ImageClient }), dir);
  } finally {
    await rm(dir, { recursive: true });
  }
}

test('a copy that was taken back before its turn came makes no folder', () =>
  withBackups(async (backups, dir) => {
    await backups.discard(IMAGE);
    const late = { signal: AbortSignal.abort(new Error('taken back')), onProgress: () => undefined };
    await assert.rejects(backups.backup('guest', IMAGE, late), /taken back/);
    assert.deepEqual(await readdir(dir), []);
  }));

test('a copy that fails leaves no folder', () =>
  withBackups(async (backups, dir) => {
    const control = { signal: new AbortController().signal, onProgress: () => undefined };
    await assert.rejects(backups.backup('nobody', IMAGE, control), /was not created/);
    assert.deepEqual(await readdir(dir), []);
  }));
