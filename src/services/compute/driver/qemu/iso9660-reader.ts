/**
 * A reader of ISO 9660 for tests: written from the standards and not from the writer, and strict where real readers forgive.
 * It asserts what ECMA-119 demands of every number in both byte orders, every path table and every record.
 */

import assert from 'node:assert/strict';

const SECTOR = 2048;

/** What a volume holds, by one of its two kinds of names. */
export interface IsoVolume {
  readonly label: string;
  /** True name → content. */
  readonly files: ReadonlyMap<string, Buffer>;
  /** True names, the root as the empty one, in the order of the path table. */
  readonly folders: readonly string[];
  /** The identifiers in the records, versions included. */
  readonly identifiers: readonly string[];
  /** First sector and bytes of all that has a place. */
  readonly extents: readonly (readonly [sector: number, length: number])[];
}

/** A directory record. */
interface IsoRecord {
  readonly identifier: Buffer;
  readonly sector: number;
  readonly length: number;
  readonly isDirectory: boolean;
  readonly fields: ReadonlyMap<string, Buffer>;
}

/** Reads the primary names (true ones from Rock Ridge) or Joliet's. */
export function readIso(image: Buffer, kind: 'primary' | 'joliet'): IsoVolume {
  assert.equal(image.length % SECTOR, 0);
  const at = (sector: number, length = SECTOR) => image.subarray(sector * SECTOR, sector * SECTOR + length);
  const types = [16, 17, 18].map((sector) => {
    assert.equal(at(sector).toString('latin1', 1, 7), 'CD001\x01');
    return at(sector).readUInt8(0);
  });
  assert.deepEqual(types, [1, 2, 255]);
  const descriptor = at(kind === 'primary' ? 16 : 17);
  assert.equal(descriptor.toString('latin1', 88, 91), kind === 'primary' ? '\0\0\0' : '%/E');
  assert.equal(both32(descriptor, 80) * SECTOR, image.length);
  assert.deepEqual(
    [120, 124, 128].map((offset) => both16(descriptor, offset)),
    [1, 1, SECTOR],
  );
  const text = (bytes: Buffer) =>
    kind === 'primary' ? bytes.toString('latin1') : Buffer.from(bytes).swap16().toString('utf16le');

  const seen = { files: new Map<string, Buffer>(), folders: [''], identifiers: [] as string[] };
  const extents: [number, number][] = [];
  // What the path table must say: sector, index of the parent, identifier.
  const table: [number, number, string][] = [];
  const root = recordAt(descriptor, 156);
  table.push([root.sector, 1, '\0']);
  const queue = [{ ...root, path: '', parent: root }];
  for (const [index, folder] of queue.entries()) {
    extents.push([folder.sector, folder.length]);
    const [self, parent, ...children] = recordsIn(at(folder.sector, folder.length));
    assert.ok(self && parent && self.isDirectory && parent.isDirectory);
    assert.deepEqual([self.sector, self.length], [folder.sector, folder.length]);
    assert.deepEqual([parent.sector, parent.length], [folder.parent.sector, folder.parent.length]);
    if (kind === 'primary' && index === 0) assertRockRidge(self, at);
    const names = children.map((child) => text(child.identifier));
    assert.deepEqual(names, names.toSorted(byIdentifier));
    assert.equal(new Set(names).size, names.length);
    for (const [number, child] of children.entries()) {
      const identifier = names[number] ?? '';
      const name = kind === 'primary' ? (child.fields.get('NM')?.toString('latin1', 1) ?? '?') : identifier;
      const path = `${folder.path}/${name}`.slice(folder.path === '' ? 1 : 0);
      seen.identifiers.push(identifier);
      if (kind === 'primary') {
        const mode = child.fields.get('PX')?.readUInt32LE(0);
        assert.equal(mode, child.isDirectory ? 0o040555 : 0o100444);
      }
      if (child.isDirectory) {
        table.push([child.sector, index + 1, identifier]);
        seen.folders.push(path);
        queue.push({ ...child, path, parent: folder });
      } else {
        extents.push([child.sector, child.length]);
        seen.files.set(path, at(child.sector, child.length));
      }
    }
  }
  const tableLength = both32(descriptor, 132);
  for (const bigEndian of [false, true]) {
    const sector = bigEndian ? descriptor.readUInt32BE(148) : descriptor.readUInt32LE(140);
    extents.push([sector, tableLength]);
    assert.deepEqual(pathTableIn(at(sector, tableLength), bigEndian, text), table);
  }
  return { label: text(descriptor.subarray(40, 72)).trimEnd(), ...seen, extents };
}

/** SP first in the root's own record, and a continuation with the name of the extension. */
function assertRockRidge(self: IsoRecord, at: (sector: number, length?: number) => Buffer): void {
  assert.equal([...self.fields.keys()][0], 'SP');
  assert.deepEqual(self.fields.get('SP'), Buffer.from([0xbe, 0xef, 0]));
  const pointer = self.fields.get('CE') ?? Buffer.alloc(24);
  const [sector, offset, length] = [both32(pointer, 0), both32(pointer, 8), both32(pointer, 16)];
  const reference = fieldsIn(at(sector).subarray(offset, offset + length)).get('ER');
  assert.equal(reference?.toString('latin1', 4, 14), 'RRIP_1991A');
}

function recordsIn(extent: Buffer): IsoRecord[] {
  const records: IsoRecord[] = [];
  for (let start = 0; start < extent.length; start += SECTOR) {
    const sector = extent.subarray(start, start + SECTOR);
    let offset = 0;
    for (; offset < SECTOR && sector.readUInt8(offset) !== 0; offset += sector.readUInt8(offset)) {
      records.push(recordAt(sector, offset));
    }
    assert.ok(sector.subarray(offset).every((byte) => byte === 0));
  }
  return records;
}

function recordAt(bytes: Buffer, offset: number): IsoRecord {
  const record = bytes.subarray(offset, offset + bytes.readUInt8(offset));
  assert.ok(record.length === bytes.readUInt8(offset) && record.length % 2 === 0, 'a record ends in its sector');
  const nameLength = record.readUInt8(32);
  assert.equal(both16(record, 28), 1);
  return {
    identifier: record.subarray(33, 33 + nameLength),
    sector: both32(record, 2),
    length: both32(record, 10),
    isDirectory: (record.readUInt8(25) & 2) !== 0,
    fields: fieldsIn(record.subarray(33 + nameLength + (1 - (nameLength % 2)))),
  };
}

/** System use fields by their signature. */
function fieldsIn(bytes: Buffer): Map<string, Buffer> {
  const fields = new Map<string, Buffer>();
  for (let at = 0; at + 4 <= bytes.length; at += bytes.readUInt8(at + 2)) {
    assert.equal(bytes.readUInt8(at + 3), 1);
    fields.set(bytes.toString('latin1', at, at + 2), bytes.subarray(at + 4, at + bytes.readUInt8(at + 2)));
  }
  return fields;
}

function pathTableIn(bytes: Buffer, bigEndian: boolean, text: (bytes: Buffer) => string): [number, number, string][] {
  const entries: [number, number, string][] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt8(at);
    const sector = bigEndian ? bytes.readUInt32BE(at + 2) : bytes.readUInt32LE(at + 2);
    const parent = bigEndian ? bytes.readUInt16BE(at + 6) : bytes.readUInt16LE(at + 6);
    // The root comes first; it is one zero byte, in Joliet too.
    const identifier = bytes.subarray(at + 8, at + 8 + length);
    entries.push([sector, parent, at === 0 ? identifier.toString('latin1') : text(identifier)]);
    at += 8 + length + (length % 2);
  }
  return entries;
}

/** ECMA-119 9.3: names, filled up with spaces, before extensions. */
function byIdentifier(left: string, right: string): number {
  const parts = (name: string) =>
    name
      .replace(/;1$/, '')
      .split('.')
      .map((part) => part.padEnd(64, ' '))
      .join('');
  return parts(left) < parts(right) ? -1 : 1;
}

function both16(bytes: Buffer, at: number): number {
  assert.equal(bytes.readUInt16LE(at), bytes.readUInt16BE(at + 2));
  return bytes.readUInt16LE(at);
}

function both32(bytes: Buffer, at: number): number {
  assert.equal(bytes.readUInt32LE(at), bytes.readUInt32BE(at + 4));
  return bytes.readUInt32LE(at);
}
