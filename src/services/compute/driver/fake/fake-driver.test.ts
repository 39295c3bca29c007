/** The fake driver obeys the port, and misbehaves exactly as ordered. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { driverConformance } from '../conformance.ts';
import type { GuestSpec, JobControl, MoveStream } from '../driver.ts';
import { fakeDriver } from './fake-driver.ts';

const spec = (id: string): GuestSpec => ({
  id,
  name: 'tester',
  vcpus: 1,
  memoryMib: 64,
  disk: { name: 'disk', base: '/no/such/image', baseFormat: 'qcow2', sizeBytes: 2 ** 30 },
  otherDisks: [],
  nics: [],
  configDrive: { 'openstack/content/0000': { base64: 'AP+A' }, 'openstack/latest/meta_data.json': '{}' },
  guestAgent: false,
});

driverConformance('fake', () => ({
  module: new URL('./fake-driver.ts', import.meta.url),
  factory: 'fakeDriver',
  open: (instancesDir) => fakeDriver({ instancesDir }),
  spec,
  crash: (driver, _instancesDir, id) => driver.exit(id, 'crashed'),
  booted: async () => undefined,
  deafen: (driver, id) => driver.setFault(id, { blockAt: ['stop', 'reboot'] }),
  loseWithHost: (instancesDir, id) => fakeDriver({ instancesDir }).loseWithHost(id),
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

  test('stop, reboot and suspend that are blocked end by their signal, and the guest runs on', async () => {
    const driver = inMemory();
    await driver.create(spec('a'));
    await driver.start('a');
    driver.setFault('a', { blockAt: ['stop', 'reboot', 'suspend'] });
    const calls = {
      stop: (signal: AbortSignal) => driver.stop('a', 1000, signal),
      reboot: (signal: AbortSignal) => driver.reboot('a', 1000, signal),
      suspend: (signal: AbortSignal) => driver.suspend('a', { signal, onProgress: () => undefined }),
    };
    for (const [name, call] of Object.entries(calls)) {
      const abort = new AbortController();
      const blocked = call(abort.signal);
      abort.abort();
      await assert.rejects(blocked, { code: 'aborted' }, name);
      assert.equal((await driver.inspect('a')).state, 'running', name);
    }
  });

  test('a suspend spreads its time over its progress', async () => {
    const waits: number[] = [];
    const clock = { delay: async (ms: number) => void waits.push(ms) };
    const driver = fakeDriver({ instancesDir: '/nowhere', persist: false, clock });
    await driver.create(spec('a'));
    await driver.start('a');
    driver.setFault('a', { delayMs: 400 });
    await driver.suspend('a', { signal: new AbortController().signal, onProgress: () => undefined });
    assert.deepEqual(waits, [100, 100, 100, 100]);
  });

  describe('a guest that moves', () => {
    const about = async (options: Partial<Parameters<typeof fakeDriver>[0]> = {}) => {
      const source = fakeDriver({ instancesDir: '/nowhere', persist: false, ...options });
      const target = inMemory();
      await source.create(spec('a'));
      await source.start('a');
      await target.receive(spec('a'));
      return { source, target, open: (stream: MoveStream) => target.openIncoming('a', stream) };
    };
    const control = (): JobControl => ({ signal: new AbortController().signal, onProgress: () => undefined });

    test('takes its disks and what it has said along', async () => {
      const { source, target, open } = await about();
      const disks = await source.disks('a');
      const said = await source.consoleOutput('a', 1000);
      await source.migrate('a', open, control());
      await source.destroy('a');
      assert.deepEqual(await target.disks('a'), disks);
      assert.equal(await target.consoleOutput('a', 1000), said);
    });

    test('fails where it is told to, spreads its time over its progress, and is hurried', async () => {
      const waits: number[] = [];
      const clock = { delay: async (ms: number) => void waits.push(ms) };
      const { source, target, open } = await about({ clock });
      source.setFault('a', { failAt: { migrate: 'no way', hurry: 'no haste' } });
      await assert.rejects(source.migrate('a', open, control()), /no way/);
      await assert.rejects(source.hurry('a'), /no haste/);
      target.setFault('a', { failAt: { receive: 'no room' } });
      await assert.rejects(target.receive(spec('a')), /no room/);
      source.setFault('a', { delayMs: 400 });
      await source.migrate('a', open, control());
      assert.deepEqual(waits, [100, 100, 100, 100]);
    });
  });

  test('a guest that does not hear the power button does not reboot', async () => {
    const driver = inMemory();
    await driver.create(spec('a'));
    await driver.start('a');
    driver.setFault('a', { deaf: true });
    assert.equal(await driver.reboot('a', 1000), false);
    driver.setFault('a', null);
    assert.equal(await driver.reboot('a', 1000), true);
  });

  test('a guest whose disk is full is paused, and says why', async () => {
    const driver = inMemory();
    await driver.create(spec('a'));
    await driver.start('a');
    const events: string[] = [];
    driver.onEvent(({ state, reason }) => events.push(`${state}: ${reason}`));
    await driver.exit('a', 'paused');
    const reason = 'the host has no space left for its disk';
    assert.deepEqual(events, [`paused: ${reason}`]);
    assert.deepEqual(await driver.inspect('a'), { id: 'a', state: 'paused', reason });
    await driver.start('a');
    assert.deepEqual(await driver.inspect('a'), { id: 'a', state: 'running' });
  });

  test('passwords are kept for those who look, and freezing needs an agent', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'micronova-fake-'));
    try {
      const driver = inMemory();
      await driver.create({ ...spec('a'), guestAgent: true });
      await driver.start('a');
      await driver.setPassword('a', 'root', 'first');
      await driver.setPassword('a', 'root', 'second');
      assert.deepEqual(driver.passwords('a'), { root: 'second' });
      const control: JobControl = { signal: new AbortController().signal, onProgress: () => undefined };
      const result = await driver.backupDisk('a', join(folder, 'out'), control, { quiesce: 'required' });
      assert.equal(result.quiesced, true);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  test('in memory as in files: another specification and back, with the same disk; a lost one is damage', async () => {
    const driver = inMemory();
    await driver.create(spec('a'));
    const { disk } = await driver.disks('a');
    const other = { ...spec('a'), disk: { ...spec('a').disk, name: 'other' } };
    await driver.reconfigure(other);
    assert.deepEqual(Object.keys(await driver.disks('a')).sort(), ['disk', 'other']);
    await driver.revert('a');
    assert.deepEqual(await driver.disks('a'), { disk });
    await driver.loseDisk('a', 'disk');
    assert.match((await driver.inspect('a')).damage ?? '', /disk/);
    await assert.rejects(driver.start('a'), { code: 'guest_damaged' });
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
