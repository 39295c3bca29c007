/**
 * VMDK: only the two kinds that are one file, with their descriptor inside.
 *
 * A descriptor can name extents and a parent anywhere on the host (CVE-2022-47951). QEMU reads it at byte 512 whatever
 * the header says, so exactly there it must be, and every mention of a parent is refused, wherever it stands.
 * The parsing is linear in the descriptor, whose size is bounded.
 */
import { type ByteSource, latin1, readExactly, readU64, refuse } from './byte-source.ts';

const SECTOR = 512;
/** QEMU looks at 20 sectors for the parent. */
const QEMU_DESCRIPTOR_SECTORS = 20;
const MAX_DESCRIPTOR_SECTORS = 128;
const DIRECTORY_AT_END = 0xffffffffffffffffn;
const ALLOWED = ['monolithicsparse', 'streamoptimized'];

/** The virtual size in bytes. */
export async function inspectVmdk(source: ByteSource): Promise<number> {
  const magic = await readExactly(source, 0, 4, 'the VMDK header');
  if (latin1(magic, 0, 4) !== 'KDMV')
    refuse('the VMDK is a descriptor of other files, or of an old kind; use streamOptimized');
  const header = await readExactly(source, 0, SECTOR, 'the VMDK header');
  const version = header.getUint32(4, true);
  if (version < 1 || version > 3) refuse(`VMDK version ${version} is unknown`);
  const sectors = readU64(header, 12, true, 'the virtual size');
  if (sectors === 0) refuse('the VMDK has no capacity of its own');
  const descriptorSectors = readU64(header, 36, true, 'the size of the VMDK descriptor');
  if (header.getBigUint64(28, true) !== 1n || descriptorSectors === 0 || descriptorSectors > MAX_DESCRIPTOR_SECTORS)
    refuse('the VMDK has its descriptor out of place');
  await checkDescriptor(source, descriptorSectors);
  if (header.getBigUint64(56, true) === DIRECTORY_AT_END && source.complete !== false)
    await checkFooter(source, header);
  return sectors * SECTOR;
}

async function checkDescriptor(source: ByteSource, sectors: number): Promise<void> {
  const view = await readExactly(source, SECTOR, sectors * SECTOR, 'the VMDK descriptor');
  const seenByQemu = Math.min(QEMU_DESCRIPTOR_SECTORS * SECTOR, source.size - SECTOR);
  const window = await readExactly(source, SECTOR, seenByQemu, 'the VMDK descriptor');
  const all = latin1(view, 0, view.byteLength).toLowerCase();
  if (all.includes('parentfilenamehint') || latin1(window, 0, seenByQemu).toLowerCase().includes('parentfilenamehint'))
    refuse('the VMDK has a parent');
  const text = all.split('\0')[0] ?? '';
  const lines = text.split('\n').map((line) => line.trim());
  if (lines[0] !== '# disk descriptorfile') refuse('the VMDK has no descriptor');
  const types = lines.filter((line) => line.startsWith('createtype'));
  const type = types[0]?.split('=')[1]?.trim().replaceAll('"', '');
  if (types.length !== 1 || type === undefined || text.split('createtype').length !== 2)
    refuse('the VMDK does not say once what type it is');
  if (!ALLOWED.includes(type)) refuse(`VMDK type ${type.slice(0, 40)} is not streamOptimized or monolithicSparse`);
  checkExtents(lines);
}

/** One extent, sparse, in a file with no folder in its name: the file itself, as whoever made it called it. */
function checkExtents(lines: readonly string[]): void {
  const extents = lines.map((line) => line.split(/\s/)).filter((words) => isAccess(words[0]));
  const [extent] = extents;
  if (!extent || extents.length !== 1) refuse(`the VMDK has ${extents.length} extents instead of one`);
  const name = extent.slice(3).join(' ');
  if (extent[2] !== 'sparse' || /[/\\]/.test(name)) refuse('the VMDK has an extent in another file');
}

function isAccess(word: string | undefined): boolean {
  return word === 'rw' || word === 'rdonly' || word === 'noaccess';
}

/** The footer's copy of the header replaces the first one, so it must say the same. */
async function checkFooter(source: ByteSource, header: DataView): Promise<void> {
  const at = Math.floor(source.size / SECTOR) * SECTOR - 2 * SECTOR;
  if (at < SECTOR) refuse('the VMDK is cut short');
  const footer = await readExactly(source, at, SECTOR, 'the VMDK footer');
  const same = [0, 12, 28, 36].every((field) => footer.getBigUint64(field, true) === header.getBigUint64(field, true));
  if (!same) refuse('the footer of the VMDK is missing or contradicts its header; the upload may be cut short');
}
