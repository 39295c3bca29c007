/** The config drive as the host keeps it and as a real guest's kernel reads it (needs the guest image, see `qemu-driver.test.ts`). */

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { guestImagePath } from '../../../../cli/demo/guest-image.ts';
import { openSerial } from '../../../../cli/serial-console.ts';
import type { ConfigDrive } from '../driver.ts';
import { writeConfigDrive } from './config-drive.ts';
import { readIso } from './iso9660-reader.ts';
import { qemuDriver } from './qemu-driver.ts';

const IMAGE = guestImagePath();
const ID = '0d6cbd68-4d0e-4d3f-8f29-5f3f6a3c0003';
const PASSWORD = 'correct-horse';
const USER_DATA = gzipSync('#!/bin/sh\necho hello\n');

describe('config drive', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'micronova-config-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  test('only its owner can read it, text and bytes are in it, and nothing else is left', async () => {
    await writeFile(join(dir, 'config.iso.partial'), 'of a predecessor that was killed', { mode: 0o644 });
    await writeConfigDrive(dir, { a: 'old' });
    await writeConfigDrive(dir, { 'x/text': 'Grüße', 'x/bytes': { base64: USER_DATA.toString('base64') } });
    assert.deepEqual(await readdir(dir), ['config.iso']);
    assert.equal((await stat(join(dir, 'config.iso'))).mode & 0o777, 0o600);
    const { label, files } = readIso(await readFile(join(dir, 'config.iso')), 'primary');
    assert.equal(label, 'config-2');
    assert.deepEqual([...files.keys()], ['x/bytes', 'x/text']);
    assert.equal(files.get('x/text')?.toString(), 'Grüße');
    assert.deepEqual(files.get('x/bytes'), USER_DATA);
  });

  test('one that cannot be made leaves the old one', async () => {
    await writeConfigDrive(dir, { a: 'old' });
    await assert.rejects(writeConfigDrive(dir, { '../a': 'new' }), { code: 'bad_spec' });
    assert.deepEqual(await readdir(dir), ['config.iso']);
    assert.equal(
      readIso(await readFile(join(dir, 'config.iso')), 'joliet')
        .files.get('a')
        ?.toString(),
      'old',
    );
  });

  test('a guest finds it by its label and reads every file, by Rock Ridge and by Joliet', async () => {
    const bytes: Readonly<Record<string, Buffer>> = {
      'openstack/latest/user_data': USER_DATA,
      'openstack/content/0000': randomBytes(100_001),
      'openstack/latest/empty': Buffer.alloc(0),
    };
    const many = Array.from({ length: 60 }, (_, index) => [
      `openstack/content/a-file-with-a-long-name-${index}`,
      `${index}`,
    ]);
    const metaData = JSON.stringify({ uuid: ID, hostname: 'tester', admin_pass: PASSWORD });
    const texts: Record<string, string> = {
      'openstack/latest/meta_data.json': metaData,
      'openstack/2018-08-27/meta_data.json': metaData,
      ...Object.fromEntries(many),
    };
    const encoded = Object.entries(bytes).map(([path, content]) => [path, { base64: content.toString('base64') }]);
    const configDrive: ConfigDrive = { ...texts, ...Object.fromEntries(encoded) };
    const sums = Object.entries({ ...texts, ...bytes })
      .map(([path, content]) => `${createHash('md5').update(content).digest('hex')}  ./${path}\n`)
      .toSorted();

    const driver = qemuDriver({ instancesDir: dir });
    try {
      const disk = { name: 'disk', base: IMAGE, baseFormat: 'qcow2', sizeBytes: 256 * 2 ** 20 } as const;
      const machine = { id: ID, name: 'tester', vcpus: 1, memoryMib: 128, guestAgent: false };
      await driver.create({ ...machine, disk, otherDisks: [], nics: [], configDrive });
      await driver.start(ID);
      const guest = await openSerial(join(dir, ID, 'serial.sock'));
      await guest.login(PASSWORD); // which the guest has from the drive
      for (const options of ['ro', 'ro,norock']) {
        await guest.run(`mount -t iso9660 -o ${options} "$(findfs LABEL=config-2)" /mnt`);
        const { output } = await guest.run('cd /mnt && find . -type f -exec md5sum {} + | sort');
        assert.equal(output, sums.join(''), options);
        const mode = (await guest.run('stat -c %a openstack/latest; cd /; umount /mnt')).output;
        if (options === 'ro') assert.equal(mode, '555\n');
      }
      const userData = (await guest.run('md5sum < /var/lib/cloud/user-data')).output;
      assert.equal(userData.slice(0, 32), createHash('md5').update(USER_DATA).digest('hex'));
      guest.close();
    } finally {
      await driver.close({ stopGuests: true });
    }
  });
});
