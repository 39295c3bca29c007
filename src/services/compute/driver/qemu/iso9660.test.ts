/** Our ISO 9660 image, read back by a reader of our own (`iso9660-reader.ts`); the kernel's is in `config-drive.test.ts`. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { isoImage } from './iso9660.ts';
import { readIso } from './iso9660-reader.ts';

type Files = Record<string, string | Uint8Array>;

const NOW = new Date('2026-02-03T04:05:06.789Z');
const KINDS = ['primary', 'joliet'] as const;
const DRIVE: Files = {
  'openstack/latest/meta_data.json': '{"name":"Grüße → 東京 😀"}',
  'openstack/latest/user_data': randomBytes(5000),
  'openstack/2018-08-27/meta_data.json': 'x'.repeat(2048),
  'openstack/content/0000': randomBytes(2049),
  'ec2/2009-04-04/meta-data.json': '{}',
  'openstack/latest/empty': '',
};
const image = (files: Files) => isoImage({ label: 'config-2', files, now: NOW });

/** Both kinds of names show these files and folders, bit for bit, and nothing lies over anything else. */
function assertHolds(bytes: Buffer, files: Files): void {
  const extents = KINDS.flatMap((kind) => {
    const volume = readIso(bytes, kind);
    assert.equal(volume.label, 'config-2');
    assert.deepEqual([...volume.files.keys()].sort(), Object.keys(files).sort());
    for (const [path, content] of Object.entries(files)) {
      assert.ok(volume.files.get(path)?.equals(Buffer.from(content)), `${kind}: ${path}`);
    }
    const parents = Object.keys(files).flatMap((path) => path.split('/').map((_, at, parts) => parts.slice(0, at)));
    assert.deepEqual([...volume.folders].sort(), [...new Set(['', ...parents.map((parts) => parts.join('/'))])].sort());
    return volume.extents;
  });
  // Contents belong to both kinds, so equal extents are one.
  const unique = new Map(extents.filter(([, length]) => length > 0));
  let free = 19;
  for (const [sector, length] of [...unique].sort(([a], [b]) => a - b)) {
    assert.ok(sector >= free, `sector ${sector} is used twice`);
    free = sector + Math.ceil(length / 2048);
  }
  assert.ok(free * 2048 <= bytes.length);
}

describe('ISO 9660', () => {
  test('text in any script, bytes, empty files and files of whole and broken sectors come back', () => {
    assertHolds(image(DRIVE), DRIVE);
    assertHolds(image({}), {});
  });

  test('hundreds of files and folders, in directories and path tables of many sectors', () => {
    const files = Object.fromEntries(
      Array.from({ length: 256 }, (_, index): [string, string][] => [
        [`files/file-number-${index}-with-a-long-name.json`, `${index}`],
        [`folders/folder-number-${index}-with-a-long-name/x`, `${index}`],
      ]).flat(),
    );
    assertHolds(image(files), files);
  });

  test('long, similar and dotted names stay what they are, seven folders deep', () => {
    const long = 'n'.repeat(59);
    const paths = [`${long}a`, `${long}b`, `${long}/x`, '.hidden', 'a.b', 'a-b', 'a.b.c', 'a', 'A.B', 'ab', 'a_b'];
    const files = Object.fromEntries([...paths, 'd/e/f/g/h/i/j/k'].map((path) => [path, path]));
    assertHolds(image(files), files);
    const { identifiers } = readIso(image(files), 'primary');
    for (const each of identifiers) assert.match(each, /^([A-Z0-9_]{1,30}|(?=.{3,33}$)[A-Z0-9_]+\.[A-Z0-9_]{0,8};1)$/);
    assert.ok(['A.B;1', 'A_1.B;1'].every((each) => identifiers.includes(each)));
  });

  test('the primary names of a config drive are plain', () => {
    assert.deepEqual(readIso(image(DRIVE), 'primary').identifiers.toSorted(), [
      ...['0000.;1', '2009_04_04', '2018_08_27', 'CONTENT', 'EC2', 'EMPTY.;1', 'LATEST', 'META_DATA.JSON;1'],
      ...['META_DATA.JSON;1', 'META_DATA.JSON;1', 'OPENSTACK', 'USER_DATA.;1'],
    ]);
  });

  test('equal files at an equal time are equal bytes, in whatever order they are given', () => {
    const turned = Object.fromEntries(Object.entries(DRIVE).reverse());
    assert.ok(image(DRIVE).equals(image(turned)));
    const later = isoImage({ label: 'config-2', files: DRIVE, now: new Date(NOW.getTime() + 1000) });
    assert.ok(!later.equals(image(DRIVE)));
    assert.equal(image(DRIVE).toString('latin1', 16 * 2048 + 813, 16 * 2048 + 830), '2026020304050678\0');
  });

  test('paths that leave the image, or that some reader would show otherwise, are refused', () => {
    const paths = ['', '/a', 'a/', 'a//b', '../a', 'a/../b', '.', 'a/..', 'end.', 'a b', 'ä', 'a\\b', 'a;1', 'a\0'];
    for (const path of [...paths, 'n'.repeat(61), 'a/b/c/d/e/f/g/h/i']) {
      assert.throws(() => image({ [path]: '' }), { code: 'bad_spec' }, JSON.stringify(path));
    }
    assert.throws(() => image({ a: '', 'a/b': '' }), { code: 'bad_spec' });
    assert.throws(() => image({ 'a/b': '', a: '' }), { code: 'bad_spec' });
  });

  test('too much of anything is refused, and so is a label that Joliet would cut', () => {
    const many = Object.fromEntries(Array.from({ length: 513 }, (_, index) => [`${index}`, '']));
    assert.throws(() => image(many), { code: 'bad_spec' });
    assert.throws(() => image({ big: new Uint8Array(64 * 2 ** 20) }), { code: 'bad_spec' });
    for (const label of ['', 'x'.repeat(17), 'with space']) {
      assert.throws(() => isoImage({ label, files: {}, now: NOW }), { code: 'bad_spec' });
    }
  });
});
