/** Our qcow2 is QEMU's qcow2: checked with qemu-img, in both directions. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { parseQcow2Header, readQcow2Header, writeEmptyQcow2 } from './qcow2.ts';

const run = promisify(execFile);

describe('qcow2', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'micronova-qcow2-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  for (const sizeBytes of [1, 512 * 2 ** 20, 512 * 2 ** 20 + 1, 20 * 2 ** 40]) {
    test(`an empty image of ${sizeBytes} bytes passes qemu-img check`, async () => {
      const path = join(folder, `${sizeBytes}.qcow2`);
      await writeEmptyQcow2(path, sizeBytes, null);
      await run('qemu-img', ['check', '-f', 'qcow2', path]);
      const info = JSON.parse((await run('qemu-img', ['info', '--output=json', path])).stdout);
      assert.equal(info['virtual-size'], Math.ceil(sizeBytes / 512) * 512);
      assert.equal((await readQcow2Header(path))?.virtualSizeBytes, info['virtual-size']);
    });
  }

  test('a layer names its base and format as qemu-img create would', async () => {
    const base = join(folder, 'base.raw');
    const layer = join(folder, 'layer.qcow2');
    await writeFile(base, Buffer.alloc(2 ** 20, 1));
    await writeEmptyQcow2(layer, 2 ** 21, { path: base, format: 'raw' });
    const info = JSON.parse((await run('qemu-img', ['info', '--output=json', layer])).stdout);
    assert.equal(info['backing-filename'], base);
    assert.equal(info['backing-filename-format'], 'raw');
    await run('qemu-img', ['check', layer]);
    assert.equal((await readQcow2Header(layer))?.backingFile, base);
    await assert.rejects(writeEmptyQcow2(layer, 512, { path: 'nbd:host', format: 'raw' }), { code: 'bad_spec' });
  });

  test('references to other files are seen in images that qemu-img made, old version included', async () => {
    const base = join(folder, 'b.qcow2');
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', 'compat=0.10', base, '1M']);
    assert.deepEqual(await readQcow2Header(base), {
      virtualSizeBytes: 2 ** 20,
      backingFile: null,
      externalDataFile: false,
    });
    const layer = join(folder, 'l.qcow2');
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', 'compat=0.10', '-F', 'qcow2', '-b', base, layer]);
    assert.equal((await readQcow2Header(layer))?.backingFile, base);
    const split = join(folder, 's.qcow2');
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', `data_file=${join(folder, 'd')}`, split, '1M']);
    assert.equal((await readQcow2Header(split))?.externalDataFile, true);
  });

  test('what is no qcow2 has no header', async () => {
    assert.equal(parseQcow2Header(Buffer.from('QFI')), null);
    assert.equal(parseQcow2Header(Buffer.alloc(1000)), null);
    assert.equal(await readQcow2Header(join(folder, 'missing')), null);
  });
});
