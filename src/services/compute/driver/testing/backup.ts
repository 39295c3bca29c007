/** Copying a guest's disk, whatever the guest does meanwhile. */

import assert from 'node:assert/strict';
import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Driver } from '../driver.ts';
import { readQcow2Header } from '../qcow2.ts';
import { assertProgress, type Bench, ID, stateOf, watch } from './bench.ts';

const BEGIN = { stopped: 'created', running: 'running', paused: 'paused', suspended: 'suspended' } as const;

/** Registers these tests. */
export function backupConformance<D extends Driver>(bench: Bench<D>): void {
  for (const state of ['stopped', 'running', 'paused', 'suspended'] as const) {
    test(`backup of a ${state} guest: standalone, with progress, and repeatable`, async () => {
      const driver = await bench[BEGIN[state]]();
      const out = join(bench.root, 'out');
      await mkdir(out);
      const target = join(out, 'backup.qcow2');
      for (let round = 0; round < 2; round += 1) {
        const { control, seen } = watch();
        const result = await driver.backupDisk(ID, target, control);
        const { sizeBytes: virtualSizeBytes } = bench.spec.disk;
        assert.deepEqual(await readQcow2Header(target), {
          virtualSizeBytes,
          backingFile: null,
          externalDataFile: false,
        });
        assert.deepEqual(result, {
          sizeBytes: (await stat(target)).size,
          virtualSizeBytes,
          live: state === 'running',
          quiesced: false,
        });
        assertProgress(seen);
        assert.deepEqual(await readdir(out), ['backup.qcow2']);
        assert.equal(await stateOf(driver), state);
      }
    });

    test(`an aborted or impossible backup of a ${state} guest leaves nothing and can be repeated`, async () => {
      const driver = await bench[BEGIN[state]]();
      const out = join(bench.root, 'out');
      await mkdir(out);
      const target = join(out, 'backup.qcow2');
      await assert.rejects(driver.backupDisk(ID, target, { ...watch().control, signal: AbortSignal.abort() }), {
        code: 'aborted',
      });
      if (state === 'running') {
        const abort = new AbortController();
        const control = { signal: abort.signal, onProgress: () => abort.abort() };
        await assert.rejects(driver.backupDisk(ID, target, control), { code: 'aborted' });
      }
      assert.deepEqual(await readdir(out), []);
      await assert.rejects(driver.backupDisk(ID, join(bench.root, 'no-such-folder', 'x'), watch().control));
      assert.equal(await stateOf(driver), state);
      await driver.backupDisk(ID, target, watch().control);
      assert.deepEqual(await readdir(out), ['backup.qcow2']);
    });
  }

  test('a backup that needs frozen file systems: refused without an agent, needless for what does not execute', async () => {
    const driver = await bench.running();
    const target = join(bench.root, 'backup.qcow2');
    const required = { quiesce: 'required' } as const;
    await assert.rejects(driver.backupDisk(ID, target, watch().control, required), { code: 'guest_agent' });
    await driver.pause(ID);
    await assert.rejects(driver.backupDisk(ID, target, watch().control, required), { code: 'guest_agent' });
    assert.ok(!(await readdir(bench.root)).includes('backup.qcow2'));
    await driver.stop(ID, 0);
    const result = await driver.backupDisk(ID, target, watch().control, required);
    assert.deepEqual([result.live, result.quiesced], [false, false]);
  });
}
