/**
 * Directories and path tables of one naming (primary or Joliet).
 *
 * How long a directory is does not depend on where anything lies. So the layout asks for the lengths first, gives out
 * sectors, and then has everything rendered with the true places.
 */

import { both16, both32, SECTOR, sectorsOf } from './iso9660-fields.ts';
import type { Identified, Naming, RecordRole, SystemUse } from './iso9660-naming.ts';
import type { IsoDirectory, IsoEntry } from './iso9660-tree.ts';

/** Identifier of a folder's own record, and of the root wherever it is named. */
export const SELF = Buffer.from([0]);
const PARENT = Buffer.from([1]);
const DIRECTORY_FLAG = 2;
/** Bytes of a directory record before its identifier. */
const RECORD_HEAD = 33;
/** For lengths only. */

/** One folder of a hierarchy. */
export interface Folder {
  readonly directory: IsoDirectory;
  readonly identifier: Buffer;
  /** Index of the parent in the hierarchy; the root is its own. */
  readonly parent: number;
  readonly children: readonly Identified[];
  readonly sectors: number;
}

/** A run of sectors; `length` in bytes. */
export interface Extent {
  readonly sector: number;
  readonly length: number;
}

/** Where things lie, and the one time that all of them have. */
export interface Places extends SystemUse {
  readonly extentOf: (entry: IsoEntry) => Extent;
}

/** For lengths only. */
const NOWHERE: Places = { extentOf: () => ({ sector: 0, length: 0 }), time: Buffer.alloc(7), extensionSector: 0 };

/** All folders in the order of a path table: by level, then by parent, then by identifier (ECMA-119 6.9.1). */
export function hierarchy(root: IsoDirectory, naming: Naming): Folder[] {
  const folders = [folderOf(root, SELF, 0, root, naming)];
  // Grows while it is walked: a folder's own folders are appended behind all of its level.
  for (const [index, { directory, children }] of folders.entries()) {
    for (const { entry, identifier } of children) {
      if (entry.kind === 'directory') folders.push(folderOf(entry, identifier, index, directory, naming));
    }
  }
  return folders;
}

function folderOf(
  directory: IsoDirectory,
  identifier: Buffer,
  parent: number,
  parentDirectory: IsoDirectory,
  naming: Naming,
): Folder {
  const children = naming.identify(directory);
  const records = recordsOf({ directory, parent: parentDirectory, children }, naming, NOWHERE);
  return { directory, identifier, parent, children, sectors: sectorsOf(packed(records)) };
}

/** The sectors of one folder. */
export function folderBytes(folder: Folder, folders: readonly Folder[], naming: Naming, places: Places): Buffer {
  const parent = folders[folder.parent]?.directory ?? folder.directory;
  const bytes = Buffer.alloc(folder.sectors * SECTOR);
  packed(recordsOf({ ...folder, parent }, naming, places), (record, at) => record.copy(bytes, at));
  return bytes;
}

/** A path table (ECMA-119 9.4), numbers in one byte order. */
export function pathTable(folders: readonly Folder[], order: 'LE' | 'BE', extentOf: Places['extentOf']): Buffer {
  const entries = folders.map(({ directory, identifier, parent }) => {
    const entry = Buffer.alloc(8 + identifier.length + (identifier.length % 2));
    const { sector } = extentOf(directory);
    entry[0] = identifier.length;
    if (order === 'LE') {
      entry.writeUInt32LE(sector, 2);
      entry.writeUInt16LE(parent + 1, 6);
    } else {
      entry.writeUInt32BE(sector, 2);
      entry.writeUInt16BE(parent + 1, 6);
    }
    identifier.copy(entry, 8);
    return entry;
  });
  return Buffer.concat(entries);
}

/** A directory record (ECMA-119 9.1). */
export function directoryRecord(fields: {
  readonly identifier: Buffer;
  readonly extent: Extent;
  readonly isDirectory: boolean;
  readonly time: Buffer;
  readonly systemUse: Buffer;
}): Buffer {
  const { identifier, systemUse } = fields;
  const useAt = RECORD_HEAD + identifier.length + (1 - (identifier.length % 2));
  const record = Buffer.alloc(useAt + systemUse.length + (systemUse.length % 2));
  record[0] = record.length;
  both32(fields.extent.sector).copy(record, 2);
  both32(fields.extent.length).copy(record, 10);
  fields.time.copy(record, 18);
  record[25] = fields.isDirectory ? DIRECTORY_FLAG : 0;
  both16(1).copy(record, 28);
  record[32] = identifier.length;
  identifier.copy(record, RECORD_HEAD);
  systemUse.copy(record, useAt);
  return record;
}

/** The records of a folder: its own, its parent's, its children's. */
function recordsOf(
  { directory, parent, children }: Pick<Folder, 'directory' | 'children'> & { readonly parent: IsoDirectory },
  naming: Naming,
  places: Places,
): Buffer[] {
  const record = (entry: IsoEntry, identifier: Buffer, role: RecordRole) =>
    directoryRecord({
      identifier,
      extent: places.extentOf(entry),
      isDirectory: entry.kind === 'directory',
      time: places.time,
      systemUse: naming.systemUse(entry, role, places),
    });
  return [
    record(directory, SELF, directory === parent ? 'root' : 'relative'),
    record(parent, PARENT, 'relative'),
    ...children.map(({ entry, identifier }) => record(entry, identifier, 'child')),
  ];
}

/** Puts records one after the other, none across the end of a sector; returns the bytes that takes. */
function packed(records: readonly Buffer[], put: (record: Buffer, at: number) => void = () => {}): number {
  let at = 0;
  for (const record of records) {
    if ((at % SECTOR) + record.length > SECTOR) at = sectorsOf(at) * SECTOR;
    put(record, at);
    at += record.length;
  }
  return at;
}
