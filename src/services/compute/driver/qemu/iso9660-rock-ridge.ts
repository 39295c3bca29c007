/**
 * Rock Ridge: POSIX names, modes and times in the system use fields of primary directory records.
 *
 * Written in the form of RRIP 1.10 (`RRIP_1991A`, PX without a serial number), which 1.12 still allows and which is what
 * mkisofs and xorriso write; so there is no reader that does not know it. Field numbers below are those of SUSP and RRIP 1.12.
 */

import { both32 } from './iso9660-fields.ts';
import type { IsoEntry } from './iso9660-tree.ts';

const FILE_MODE = 0o100444;
const DIRECTORY_MODE = 0o040555;
/** TF: the times of modification, access and attribute change follow, in the short form. */
const TIMES = 0b1110;

const EXTENSION = 'RRIP_1991A';
const DESCRIPTION = 'THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS';
const SOURCE =
  'PLEASE CONTACT DISC PUBLISHER FOR SPECIFICATION SOURCE.  SEE PUBLISHER IDENTIFIER IN PRIMARY VOLUME DESCRIPTOR FOR CONTACT INFORMATION.';

/** Which extension this is (ER, SUSP 5.5). Too long for a record, so it has a place of its own. */
export const EXTENSION_REFERENCE = field(
  'ER',
  Buffer.from([EXTENSION.length, DESCRIPTION.length, SOURCE.length, 1]),
  Buffer.from(EXTENSION + DESCRIPTION + SOURCE, 'latin1'),
);

/** What the root's own record starts with (SP, SUSP 5.3): the system use sharing protocol is followed, nothing skipped. */
export const SHARING_INDICATOR = field('SP', Buffer.from([0xbe, 0xef, 0]));

/** Says that the extension reference is at the start of `sector` (CE, SUSP 5.1). */
export function continuation(sector: number): Buffer {
  return field('CE', both32(sector), both32(0), both32(EXTENSION_REFERENCE.length));
}

/** Mode, links, owner root (PX, RRIP 4.1.1) and times (TF, RRIP 4.1.6); everything is readable for all and read-only. */
export function posixFields(entry: IsoEntry, time: Buffer): Buffer {
  const isDirectory = entry.kind === 'directory';
  const links = isDirectory ? 2 + entry.entries.filter(({ kind }) => kind === 'directory').length : 1;
  return Buffer.concat([
    field('PX', both32(isDirectory ? DIRECTORY_MODE : FILE_MODE), both32(links), both32(0), both32(0)),
    field('TF', Buffer.from([TIMES]), time, time, time),
  ]);
}

/** The true name (NM, RRIP 4.1.4). */
export function nameField(name: string): Buffer {
  return field('NM', Buffer.from([0]), Buffer.from(name, 'latin1'));
}

/** SUSP 4.1: signature, length, version 1, data. */
function field(signature: string, ...data: readonly Buffer[]): Buffer {
  const body = Buffer.concat(data);
  return Buffer.concat([Buffer.from(signature, 'latin1'), Buffer.from([4 + body.length, 1]), body]);
}
