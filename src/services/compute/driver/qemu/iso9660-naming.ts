/**
 * The two ways in which an ISO 9660 image names its files: the primary one and Joliet's.
 *
 * Primary identifiers are upper-case letters, digits and `_` (ECMA-119 7.5, 7.6, interchange level 2), and only readers without
 * Rock Ridge show them; the true name is in the record's system use field. Joliet identifiers are the true names in
 * UCS-2. Each of the two has directories of its own; they share the files' contents.
 */

import { continuation, nameField, posixFields, SHARING_INDICATOR } from './iso9660-rock-ridge.ts';
import type { IsoDirectory, IsoEntry } from './iso9660-tree.ts';

/** Characters of a primary name, extension included and separator not. */
const MAX_PRIMARY = 30;
const MAX_EXTENSION = 8;

/** An entry under its identifier. */
export interface Identified {
  readonly entry: IsoEntry;
  readonly identifier: Buffer;
}

/** One way of naming. */
export interface Naming {
  /** The entries of a folder in the order in which they must be recorded. */
  identify(directory: IsoDirectory): Identified[];
  /** What the record of an entry holds for the system. */
  systemUse(entry: IsoEntry, role: RecordRole, about: SystemUse): Buffer;
}

/** A record is the root's own (`.`), another folder's own or any folder's parent (`..`), or a child's. */
export type RecordRole = 'root' | 'relative' | 'child';

/** What system use fields speak of. */
export interface SystemUse {
  /** In the form of a directory record. */
  readonly time: Buffer;
  /** Where the reference to the Rock Ridge extension lies. */
  readonly extensionSector: number;
}

/** ISO 9660 proper, with Rock Ridge. */
export const PRIMARY: Naming = {
  identify: (directory) => {
    const taken = new Set<string>();
    const named = directory.entries.map((entry) => {
      const name = primaryName(entry, taken);
      return { entry, name, identifier: Buffer.from(entry.kind === 'file' ? `${name};1` : name, 'latin1') };
    });
    return inOrder(named);
  },
  systemUse: (entry, role, { time, extensionSector }) => {
    const posix = posixFields(entry, time);
    if (role === 'root') return Buffer.concat([SHARING_INDICATOR, posix, continuation(extensionSector)]);
    return role === 'child' ? Buffer.concat([posix, nameField(entry.name)]) : posix;
  },
};

/** Joliet. File identifiers have no version (`;1`), as in the images of mkisofs, which every reader has met. */
export const JOLIET: Naming = {
  identify: ({ entries }) =>
    inOrder(entries.map((entry) => ({ entry, name: entry.name, identifier: ucs2(entry.name) }))),
  systemUse: () => Buffer.alloc(0),
};

/** Text in big-endian UCS-2. */
export function ucs2(text: string): Buffer {
  return Buffer.from(text, 'utf16le').swap16();
}

/** ECMA-119 9.3: by name, then by extension, the shorter one first; which a separator below all others amounts to. */
function inOrder(entries: readonly (Identified & { readonly name: string })[]): Identified[] {
  const key = ({ name }: { name: string }) => name.replaceAll('.', '\0');
  return entries.toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
}

/** A name that no other in the folder has: `META_DATA.JSON`, `USER_DATA.` (a file's separator stays), `2018_08_27`. */
function primaryName({ kind, name }: IsoEntry, taken: Set<string>): string {
  const clean = name.toUpperCase().replaceAll(/[^A-Z0-9_.]/g, '_');
  const dot = kind === 'file' ? clean.lastIndexOf('.') : -1;
  const separate = dot > 0;
  const base = (separate ? clean.slice(0, dot) : clean).replaceAll('.', '_');
  const extension = separate ? clean.slice(dot + 1, dot + 1 + MAX_EXTENSION) : '';
  for (let attempt = 0; ; attempt += 1) {
    const suffix = attempt === 0 ? '' : `_${attempt}`;
    const short = `${base.slice(0, MAX_PRIMARY - extension.length - suffix.length)}${suffix}.${extension}`;
    if (taken.has(short)) continue;
    taken.add(short);
    return kind === 'file' ? short : short.slice(0, -1);
  }
}
