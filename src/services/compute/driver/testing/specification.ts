/** Another specification for a guest, back to the one before, and what happens to disks at that. */

import assert from 'node:assert/strict';
import { appendFile, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Driver, GuestSpec } from '../driver.ts';
import { readQcow2Header, writeEmptyQcow2 } from '../qcow2.ts';
import { type Bench, childAt, ID, snapshotOf, stateOf, watch } from './bench.ts';

/** Behind the end of what a disk's tables know: nobody reads it, and a copy has it. */
const MARK = 'content of the disk';

/** Registers these tests. */
export function specConformance<D extends Driver>(bench: Bench<D>): void {
  /** Boots from a disk of its own and has the usual one behind it. */
  const rescue = (): GuestSpec => ({
    ...bench.spec,
    vcpus: 2,
    disk: { ...bench.spec.disk, name: 'rescue' },
    otherDisks: [bench.spec.disk],
  });
  /** Has another disk instead of the usual one. */
  const rebuilt = (name: string): GuestSpec => ({
    ...bench.spec,
    disk: { ...bench.spec.disk, name },
    configDrive: null,
  });
  const disks = async () => (await readdir(bench.dir)).filter((name) => name.endsWith('.qcow2')).sort();
  /** Which file it is, and how it begins: a disk that was made anew differs. */
  const identityOf = async (name: string) => {
    const path = join(bench.dir, name);
    return { inode: (await stat(path)).ino, begin: (await readFile(path)).subarray(0, 512).toString('latin1') };
  };

  /** What was appended is there still, and the guest sees a disk of that size where there is one to be seen. */
  const hasMarkAndSize = async (name: string, sizeBytes: number) => {
    const path = join(bench.dir, name);
    assert.ok((await readFile(path)).includes(MARK), 'the content is there');
    const header = await readQcow2Header(path);
    if (header) assert.equal(header.virtualSizeBytes, sizeBytes);
  };

  test('reconfigure and revert, each twice: the guest and its disk are as they were', async () => {
    const driver = await bench.created();
    const disk = await identityOf('disk.qcow2');
    assert.deepEqual(await driver.spec(ID), bench.spec);
    await driver.reconfigure(rescue());
    const after = await snapshotOf(bench.dir);
    await driver.reconfigure(rescue());
    assert.deepEqual(await snapshotOf(bench.dir), after);
    assert.deepEqual(await driver.spec(ID), rescue());
    assert.deepEqual(await disks(), ['disk.qcow2', 'rescue.qcow2']);
    await driver.start(ID);
    await driver.stop(ID, 0);
    await driver.revert(ID);
    await driver.revert(ID);
    assert.deepEqual(await driver.spec(ID), bench.spec);
    assert.deepEqual(await disks(), ['disk.qcow2']);
    assert.deepEqual(await identityOf('disk.qcow2'), disk);
    await driver.start(ID);
    assert.equal(await stateOf(driver), 'running');
  });

  test('reconfigure and settle, each twice: what only the specification before needed is gone', async () => {
    const driver = await bench.created();
    await driver.reconfigure(rebuilt('second'));
    assert.deepEqual(await disks(), ['disk.qcow2', 'second.qcow2']);
    const second = await identityOf('second.qcow2');
    await driver.start(ID);
    await driver.settle(ID);
    await driver.settle(ID);
    assert.equal(await stateOf(driver), 'running');
    assert.deepEqual(await disks(), ['second.qcow2']);
    await driver.stop(ID, 0);
    await driver.revert(ID);
    assert.deepEqual(await driver.spec(ID), rebuilt('second'));
    assert.deepEqual(await identityOf('second.qcow2'), second);
  });

  test('a disk that is a copy of another begins as that one is, and grows', async () => {
    const driver = await bench.created();
    await appendFile(join(bench.dir, 'disk.qcow2'), MARK);
    const grown = bench.spec.disk.sizeBytes * 2;
    const copy = { ...bench.spec.disk, name: 'copy', copyOf: 'disk', sizeBytes: grown };
    for (let twice = 0; twice < 2; twice++) await driver.reconfigure({ ...bench.spec, memoryMib: 160, disk: copy });
    await hasMarkAndSize('copy.qcow2', grown);
    await driver.start(ID);
    await driver.stop(ID, 0);
    await driver.settle(ID);
    assert.deepEqual(await disks(), ['copy.qcow2']);
    await driver.start(ID);
  });

  test('a disk that was put into the folder before becomes the guest’s, and grows', async () => {
    const driver = await bench.created();
    const path = join(bench.dir, 'disk.qcow2');
    await appendFile(path, MARK);
    const bytes = await readFile(path);
    await driver.destroy(ID);
    await mkdir(bench.dir, { recursive: true });
    await writeFile(path, bytes);
    const grown = bench.spec.disk.sizeBytes * 2;
    const spec = { ...bench.spec, disk: { ...bench.spec.disk, sizeBytes: grown } };
    for (let twice = 0; twice < 2; twice++) await driver.create(spec);
    await hasMarkAndSize('disk.qcow2', grown);
    await driver.start(ID);
    assert.equal(await stateOf(driver), 'running');
  });

  test('reconfigure once more: what is kept is still the first, and the one between is forgotten', async () => {
    const driver = await bench.created();
    const disk = await identityOf('disk.qcow2');
    await driver.reconfigure(rebuilt('second'));
    await driver.reconfigure(rebuilt('third'));
    assert.deepEqual(await disks(), ['disk.qcow2', 'third.qcow2']);
    await driver.revert(ID);
    assert.deepEqual(await driver.spec(ID), bench.spec);
    assert.deepEqual(await disks(), ['disk.qcow2']);
    assert.deepEqual(await identityOf('disk.qcow2'), disk);
  });

  test('a base in the folder goes with the last disk over it, and no sooner', async () => {
    const driver = await bench.created();
    const base = async (name: string): Promise<string> => {
      await writeEmptyQcow2(join(bench.dir, name), 2 ** 20, null);
      return join(bench.dir, name);
    };
    const bases = async () => (await readdir(bench.dir)).filter((name) => name.startsWith('base-')).sort();
    const first = rebuilt('second');
    await driver.reconfigure({ ...first, disk: { ...first.disk, base: await base('base-2') } });
    await driver.revert(ID);
    assert.deepEqual(await bases(), []);
    const third = rebuilt('third');
    await driver.reconfigure({ ...third, disk: { ...third.disk, base: await base('base-3') } });
    await driver.settle(ID);
    assert.deepEqual(await bases(), ['base-3']);
    const fourth = rebuilt('fourth');
    await driver.reconfigure({ ...fourth, disk: { ...fourth.disk, base: await base('base-4') } });
    assert.deepEqual(await bases(), ['base-3', 'base-4']);
    await driver.settle(ID);
    assert.deepEqual(await bases(), ['base-4']);
  });

  test('neither reconfigure nor revert touches a guest that has a process or a memory file', async () => {
    const driver = await bench.created();
    await driver.reconfigure(rescue());
    const before = await disks();
    for (const begin of [
      () => driver.start(ID),
      () => driver.pause(ID),
      () => driver.suspend(ID, watch().control),
    ] as const) {
      await begin();
      const state = await stateOf(driver);
      await assert.rejects(driver.reconfigure(rebuilt('second')), { code: 'command_failed' });
      await assert.rejects(driver.revert(ID), { code: 'command_failed' });
      assert.equal(await stateOf(driver), state);
      assert.deepEqual(await driver.spec(ID), rescue());
      assert.deepEqual(await disks(), before);
    }
  });

  test('an absent guest, and one that was never reconfigured', async () => {
    const driver = bench.open();
    assert.equal(await driver.spec(ID), null);
    await assert.rejects(driver.reconfigure(bench.spec), { code: 'guest_not_found' });
    await driver.settle(ID);
    await driver.revert(ID);
    assert.deepEqual(await readdir(bench.instancesDir), []);
    await driver.create(bench.spec);
    const before = await snapshotOf(bench.dir);
    await driver.settle(ID);
    await driver.revert(ID);
    await driver.reconfigure(bench.spec);
    assert.deepEqual(await snapshotOf(bench.dir), before);
  });

  for (const verb of ['settle', 'revert'] as const) {
    test(`the process is killed after a reconfigure: a new one can ${verb}`, async () => {
      const kill = await childAt(bench.subject, bench.instancesDir, bench.spec, 'reconfigured', rebuilt('second'));
      await kill();
      const driver = bench.open();
      await driver.reconfigure(rebuilt('second'));
      await driver[verb](ID);
      assert.deepEqual(await driver.spec(ID), verb === 'settle' ? rebuilt('second') : bench.spec);
      assert.deepEqual(await disks(), [verb === 'settle' ? 'second.qcow2' : 'disk.qcow2']);
      await driver.start(ID);
      assert.equal(await stateOf(driver), 'running');
    });
  }

  test('a lost disk is damage: it is told, never replaced, and the guest cannot be started', async () => {
    const driver = await bench.created();
    await rm(join(bench.dir, 'disk.qcow2'));
    await driver.create(bench.spec);
    assert.deepEqual(await disks(), []);
    const [status] = await driver.recover();
    assert.match(status?.damage ?? '', /disk/);
    assert.deepEqual(await driver.inspect(ID), status);
    await assert.rejects(driver.start(ID), { code: 'guest_damaged', message: /disk/ });
    assert.equal(await stateOf(driver), 'stopped');
    await driver.destroy(ID);
    await driver.create(bench.spec);
    assert.deepEqual(await driver.inspect(ID), { id: ID, state: 'stopped' });
  });

  test('a guest with several disks has them all, and loses none unnoticed', async () => {
    const driver = bench.open();
    await mkdir(bench.dir, { recursive: true });
    await driver.create({ ...bench.spec, otherDisks: [{ ...bench.spec.disk, name: 'data' }] });
    assert.deepEqual(await disks(), ['data.qcow2', 'disk.qcow2']);
    await driver.start(ID);
    await driver.stop(ID, 0);
    await rm(join(bench.dir, 'data.qcow2'));
    assert.match((await driver.inspect(ID)).damage ?? '', /data/);
    await assert.rejects(driver.start(ID), { code: 'guest_damaged', message: /data/ });
  });
}
