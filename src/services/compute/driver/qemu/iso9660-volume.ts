/** Volume descriptors (ECMA-119 8): what a reader finds first, sixteen sectors into the image. */

import { directoryRecord, type Extent, SELF } from './iso9660-directory.ts';
import { both16, both32, longTime, SECTOR, shortTime } from './iso9660-fields.ts';
import { ucs2 } from './iso9660-naming.ts';

const PRIMARY_TYPE = 1;
const SUPPLEMENTARY_TYPE = 2;
const TERMINATOR_TYPE = 255;
const STANDARD = 'CD001';
/** UCS-2 level 3, which makes a supplementary descriptor Joliet's. */
const JOLIET_ESCAPE = '%/E';
const PUBLISHER = 'MICRONOVA';

/** What a primary or a Joliet descriptor says. */
export interface VolumeFields {
  readonly joliet: boolean;
  readonly label: string;
  readonly sectors: number;
  /** Bytes of the path table in either byte order. */
  readonly pathTableLength: number;
  readonly littleTableSector: number;
  readonly bigTableSector: number;
  readonly rootExtent: Extent;
  readonly time: Date;
}

/** The primary descriptor (8.4), or Joliet's supplementary one (8.5), which differs by its text and by saying so. */
export function volumeDescriptor(fields: VolumeFields): Buffer {
  const { joliet, label, time } = fields;
  const bytes = descriptor(joliet ? SUPPLEMENTARY_TYPE : PRIMARY_TYPE);
  const text = (value: string, at: number, length: number) => padded(value, length, joliet).copy(bytes, at);
  text('', 8, 32); // system
  text(label, 40, 32);
  both32(fields.sectors).copy(bytes, 80);
  if (joliet) bytes.write(JOLIET_ESCAPE, 88, 'latin1');
  both16(1).copy(bytes, 120); // volumes in the set
  both16(1).copy(bytes, 124); // number of this one
  both16(SECTOR).copy(bytes, 128);
  both32(fields.pathTableLength).copy(bytes, 132);
  bytes.writeUInt32LE(fields.littleTableSector, 140);
  bytes.writeUInt32BE(fields.bigTableSector, 148);
  const root = { identifier: SELF, extent: fields.rootExtent, isDirectory: true, systemUse: Buffer.alloc(0) };
  directoryRecord({ ...root, time: shortTime(time) }).copy(bytes, 156);
  text('', 190, 128); // volume set
  text(PUBLISHER, 318, 128);
  text('', 446, 128); // data preparer
  text('', 574, 128); // application
  for (const at of [702, 739, 776]) text('', at, 37); // files with copyright, abstract, bibliography
  longTime(time).copy(bytes, 813); // created
  longTime(time).copy(bytes, 830); // modified
  longTime(null).copy(bytes, 847); // expires
  longTime(time).copy(bytes, 864); // effective
  bytes[881] = 1; // version of the file structure
  return bytes;
}

/** The descriptor after the last one (8.3). */
export function terminator(): Buffer {
  return descriptor(TERMINATOR_TYPE);
}

function descriptor(type: number): Buffer {
  const bytes = Buffer.alloc(SECTOR);
  bytes[0] = type;
  bytes.write(STANDARD, 1, 'latin1');
  bytes[6] = 1;
  return bytes;
}

/** Filled up with spaces; an odd byte at the end of a field in UCS-2 stays zero. */
function padded(value: string, length: number, wide: boolean): Buffer {
  if (!wide) return Buffer.from(value.padEnd(length), 'latin1');
  return ucs2(value.padEnd(Math.floor(length / 2)));
}
