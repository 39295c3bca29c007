/**
 * A small ISO 9660 image in memory, without starting a program.
 *
 * It holds the same files under two kinds of names: ISO 9660 with Rock Ridge (Linux, BSD) and Joliet (Windows; Linux
 * mounted `norock`). Equal files and time make equal bytes. What is written here must always be readable by the kernel's isofs,
 * libarchive (which cloudbase-init brings along) and libblkid. Not for large trees: everything is one buffer.
 *
 * Layout in sectors of 2048 bytes: 16 empty; primary descriptor, Joliet descriptor, terminator; path tables and
 * folders of the primary names; the same of the Joliet names; the Rock Ridge extension reference; the files' contents.
 *
 * Sources: ECMA-119 (ISO 9660); IEEE P1281 "System Use Sharing Protocol" 1.12 and P1282 "Rock Ridge Interchange
 * Protocol" 1.12; Microsoft "Joliet Specification" of 1995.
 */

import { DriverError } from '../driver-error.ts';
import { type Extent, type Folder, folderBytes, hierarchy, pathTable } from './iso9660-directory.ts';
import { SECTOR, sectorsOf, shortTime } from './iso9660-fields.ts';
import { JOLIET, type Naming, PRIMARY } from './iso9660-naming.ts';
import { EXTENSION_REFERENCE } from './iso9660-rock-ridge.ts';
import { type IsoDirectory, type IsoEntry, type IsoFile, isoTree } from './iso9660-tree.ts';
import { terminator, volumeDescriptor } from './iso9660-volume.ts';

const SYSTEM_SECTORS = 16;
const DESCRIPTORS = 3;
/** Zeros behind everything, as mkisofs writes them: busybox' findfs and others read further than a small image is long. */
const PADDING_SECTORS = 150;
/** Joliet has 16 characters for it. */
const LABEL = /^[A-Za-z0-9._-]{1,16}$/;
const MAX_BYTES = 64 * 2 ** 20;
const NO_EXTENT: Extent = { sector: 0, length: 0 };

/** What an image is made of. */
export interface IsoContents {
  /** Name of the volume, recorded exactly so: 1 to 16 letters, digits, `.`, `_` or `-`. */
  readonly label: string;
  /** Path inside the image → content; text becomes UTF-8. Folders come by themselves. */
  readonly files: Readonly<Record<string, string | Uint8Array>>;
  /** The time of everything in it. */
  readonly now: Date;
}

/** Gives out so many sectors and returns the first of them. */
type Take = (count: number) => number;

/** One kind of names: its path tables and folders, and where they lie. */
interface Side {
  readonly naming: Naming;
  readonly folders: readonly Folder[];
  readonly pathTableLength: number;
  readonly littleTableSector: number;
  readonly bigTableSector: number;
  readonly extents: ReadonlyMap<IsoEntry, Extent>;
}

/**
 * The bytes of the image. Throws `bad_spec` for a label or path that not every reader would show as it is, for more than
 * 512 files, and when the image would exceed 64 MiB.
 */
export function isoImage({ label, files, now }: IsoContents): Buffer {
  if (!LABEL.test(label)) throw new DriverError('bad_spec', `ISO image: cannot use the label ${JSON.stringify(label)}`);
  const root = isoTree(files);
  let sectors = SYSTEM_SECTORS + DESCRIPTORS;
  const take = (count: number): number => {
    sectors += count;
    return sectors - count;
  };
  const sides = [PRIMARY, JOLIET].map((naming) => sideOf(naming, root, take));
  const extensionSector = take(1);
  const contents = contentsOf(root, take);
  take(PADDING_SECTORS);
  if (sectors * SECTOR > MAX_BYTES) {
    throw new DriverError('bad_spec', `ISO image: ${sectors * SECTOR} bytes needed; there may be ${MAX_BYTES}`);
  }

  const image = Buffer.alloc(sectors * SECTOR);
  const put = (bytes: Uint8Array, sector: number) => image.set(bytes, sector * SECTOR);
  for (const [index, side] of sides.entries()) {
    const { naming, folders, extents } = side;
    const extentOf = (entry: IsoEntry) => (entry.kind === 'file' ? contents : extents).get(entry) ?? NO_EXTENT;
    const places = { extentOf, time: shortTime(now), extensionSector };
    const joliet = naming === JOLIET;
    const rootExtent = extentOf(root);
    put(volumeDescriptor({ ...side, joliet, label, sectors, rootExtent, time: now }), SYSTEM_SECTORS + index);
    put(pathTable(folders, 'LE', extentOf), side.littleTableSector);
    put(pathTable(folders, 'BE', extentOf), side.bigTableSector);
    for (const folder of folders) put(folderBytes(folder, folders, naming, places), extentOf(folder.directory).sector);
  }
  put(terminator(), SYSTEM_SECTORS + sides.length);
  put(EXTENSION_REFERENCE, extensionSector);
  for (const [{ content }, { sector }] of contents) put(content, sector);
  return image;
}

function sideOf(naming: Naming, root: IsoDirectory, take: Take): Side {
  const folders = hierarchy(root, naming);
  const pathTableLength = pathTable(folders, 'LE', () => NO_EXTENT).length;
  const [littleTableSector, bigTableSector] = [take(sectorsOf(pathTableLength)), take(sectorsOf(pathTableLength))];
  const extents = new Map(
    folders.map(({ directory, sectors }) => [directory, { sector: take(sectors), length: sectors * SECTOR }]),
  );
  return { naming, folders, pathTableLength, littleTableSector, bigTableSector, extents };
}

/** Where each file's content goes; an empty one has no place. */
function contentsOf(directory: IsoDirectory, take: Take): Map<IsoFile, Extent> {
  const files = (each: IsoEntry): IsoFile[] => (each.kind === 'file' ? [each] : each.entries.flatMap(files));
  return new Map(
    files(directory).map((file) => {
      const { length } = file.content;
      return [file, { sector: length === 0 ? 0 : take(sectorsOf(length)), length }];
    }),
  );
}
