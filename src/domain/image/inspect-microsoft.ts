/** VHD and VHDX: their size, and that they have no parent (differencing disks name a file of the host). */
import { type ByteSource, latin1, NotYet, readExactly, readU64, refuse } from './byte-source.ts';

const FOOTER = 512;
const VHD_FIXED = 2;
const VHD_DYNAMIC = 3;

/** The virtual size in bytes. A fixed VHD is raw data with a footer; a dynamic one has a copy of it in front. */
export async function inspectVhd(source: ByteSource): Promise<number> {
  const head = await readExactly(source, 0, FOOTER, 'the VHD header');
  const isDynamic = latin1(head, 0, 8) === 'conectix';
  if (isDynamic) checkVhdType(head);
  if (source.complete === false) throw new NotYet('the VHD footer');
  const footer = await readExactly(source, source.size - FOOTER, FOOTER, 'the VHD footer');
  if (latin1(footer, 0, 8) !== 'conectix') refuse('declared vhd, but it has no VHD footer');
  const type = checkVhdType(footer);
  if (isDynamic !== (type === VHD_DYNAMIC)) refuse('header and footer of the VHD contradict each other');
  return readU64(isDynamic ? head : footer, 48, false, 'the virtual size');
}

function checkVhdType(footer: DataView): number {
  const type = footer.getUint32(60);
  if (type !== VHD_FIXED && type !== VHD_DYNAMIC) refuse(`VHD type ${type} is neither fixed nor dynamic`);
  return type;
}

const REGION_TABLE = 192 * 1024;
const METADATA_TABLE_BYTES = 64 * 1024;
const METADATA_REGION = '8b7ca206-4790-4b9a-b8fe-575f050f886e';
const FILE_PARAMETERS = 'caa16737-fa36-4d43-b3b6-33f0aa44e76b';
const VIRTUAL_DISK_SIZE = '2fa54224-cd1b-4876-b211-5dbed83bf4b8';
const PARENT_LOCATOR = 'a8d35f2d-b30b-454d-abf7-d3d84834ab0c';
const HAS_PARENT = 2;

/** The virtual size in bytes. */
export async function inspectVhdx(source: ByteSource): Promise<number> {
  const metadata = await metadataRegion(source);
  const table = await readExactly(source, metadata, METADATA_TABLE_BYTES, 'the VHDX metadata');
  if (latin1(table, 0, 8) !== 'metadata') refuse('the VHDX has no metadata table');
  const entries = table.getUint16(10, true);
  if (entries > 2047) refuse('the VHDX has too many metadata entries');
  let size: number | undefined;
  for (let at = 32; at < 32 + entries * 32; at += 32) {
    const id = guid(table, at);
    if (id === PARENT_LOCATOR) refuse('the VHDX has a parent');
    const item = metadata + table.getUint32(at + 16, true);
    if (id === FILE_PARAMETERS) {
      const flags = (await readExactly(source, item, 8, 'the VHDX metadata')).getUint32(4, true);
      if ((flags & HAS_PARENT) !== 0) refuse('the VHDX has a parent');
    }
    if (id === VIRTUAL_DISK_SIZE)
      size = readU64(await readExactly(source, item, 8, 'the VHDX metadata'), 0, true, 'the virtual size');
  }
  return size ?? refuse('the VHDX does not say its virtual size');
}

async function metadataRegion(source: ByteSource): Promise<number> {
  const table = await readExactly(source, REGION_TABLE, 64 * 1024, 'the VHDX region table');
  if (latin1(table, 0, 4) !== 'regi') refuse('the VHDX has no region table');
  const entries = table.getUint32(8, true);
  if (entries > 2047) refuse('the VHDX has too many regions');
  for (let at = 16; at < 16 + entries * 32; at += 32)
    if (guid(table, at) === METADATA_REGION) return readU64(table, at + 16, true, 'an offset of the VHDX');
  return refuse('the VHDX has no metadata');
}

/** A GUID as Microsoft writes it: the first three groups are little-endian numbers. */
function guid(view: DataView, at: number): string {
  const hex = (offset: number) =>
    view
      .getUint8(at + offset)
      .toString(16)
      .padStart(2, '0');
  const groups = [
    [3, 2, 1, 0],
    [5, 4],
    [7, 6],
    [8, 9],
    [10, 11, 12, 13, 14, 15],
  ];
  return groups.map((group) => group.map(hex).join('')).join('-');
}
