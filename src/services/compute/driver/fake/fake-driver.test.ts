/** The fake driver obeys the port, and misbehaves exactly as ordered. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { driverConformance } from '../conformance.ts';
import type { GuestSpec } from '../driver.ts';
import { fakeDriver } from './fake-driver.ts';

const spec = (id: string): GuestSpec => ({
  id,
  name: 'tester',
  vcpus: 1,
  memoryMib: 64,
  disk: { base: '/no/such/image', baseFormat: 'qcow2', sizeBytes: 2 ** 30 },
  nics: [],
  configDrive: { 'openstack/content/0000': { base64: 'AP+A' }, 'openstack/latest/meta_data.json': '{}' },
});

driverConformance('fake', () => ({
  module: new URL('./fake-driver.ts', import.meta.url),
  factory: 'fakeDriver',
  open: (instancesDir) => fakeDriver({ instancesDir }),
  spec,
  crash: (driver, _instancesDir, id) => driver.exit(id, 'crashed'),
}));

describe('fake driver', () => {
  const inMemory = () => fakeDriver({ instancesDir: '/nowhere', persist: false });

  test('fails as often as ordered, with the error ordered', async () => {
    const driver = inMemory();
    driver.setFault('a', { failAt: { create: { error: 'no space', times: 2 } } });
    await assert.rejects(driver.create(spec('a')), /no space/);
    await assert.rejects(driver.create(spec('a')), { code: 'command_failed' });
    await driver.create(spec('a'));
    driver.setFault('*', { failAt: { start: new Error('all of them') } });
    driver.setFault('a', null);
    await assert.rejects(driver.start('a'), /all of them/);
    assert.equal((await driver.inspect('a')).state, 'stopped');
  });

  test('a blocked call goes on when the fault is cleared', async () => {
    const driver = inMemory();
    await driver.create(spec('a'));
    driver.setFault('a', { blockAt: ['start'] });
    const starting = driver.start('a');
    assert.equal((await driver.inspect('a')).state, 'stopped');
    driver.setFault('a', null);
    await starting;
    assert.equal((await driver.inspect('a')).state, 'running');
  });

  test('a blocked backup ends by its signal', async () => {
    const driver = inMemory();
    await driver.create(spec('a'));
    driver.setFault('a', { blockAt: ['backupDisk'] });
    const abort = new AbortController();
    const backup = driver.backupDisk('a', '/nowhere/x', { signal: abort.signal, onProgress: () => undefined });
    abort.abort();
    await assert.rejects(backup, { code: 'aborted' });
  });

  test('time passes on the clock that was handed in', async () => {
    const waits: number[] = [];
    const clock = { delay: async (ms: number) => void waits.push(ms) };
    const driver = fakeDriver({ instancesDir: '/nowhere', persist: false, clock, faults: { '*': { delayMs: 700 } } });
    await driver.create(spec('a'));
    await driver.start('a');
    assert.deepEqual(waits, [700, 700]);
  });

  test('a guest that powers off is stopped, not crashed', async () => {
    const driver = inMemory();
    await driver.create(spec('a'));
    await driver.start('a');
    const events: string[] = [];
    driver.onEvent(({ state, reason }) => events.push(`${state}: ${reason}`));
    await driver.exit('a', 'stopped');
    await driver.exit('a', 'stopped');
    assert.deepEqual(events, ['stopped: guest powered off']);
  });

  test('a backup passes qemu-img check', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'micronova-fake-'));
    try {
      const driver = inMemory();
      await driver.create(spec('a'));
      const target = join(folder, 'out.qcow2');
      await driver.backupDisk('a', target, { signal: new AbortController().signal, onProgress: () => undefined });
      await promisify(execFile)('qemu-img', ['check', '-f', 'qcow2', target]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
