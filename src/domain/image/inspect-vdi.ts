/** VirtualBox disks: their size, and that they stand alone (a differencing disk is linked to a parent). */
import { type ByteSource, readExactly, readU64, refuse } from './byte-source.ts';

const DYNAMIC = 1;
const STATIC = 2;

/** The virtual size in bytes. */
export async function inspectVdi(source: ByteSource): Promise<number> {
  const header = await readExactly(source, 0, 512, 'the VDI header');
  const version = header.getUint32(0x44, true);
  if (version !== 0x00010001) refuse(`VDI version 0x${version.toString(16)} is not 1.1`);
  const type = header.getUint32(0x4c, true);
  if (type !== DYNAMIC && type !== STATIC) refuse(`VDI type ${type} is neither dynamic nor static`);
  for (let at = 0x1a8; at < 0x1c8; at += 8) if (header.getBigUint64(at) !== 0n) refuse('the VDI has a parent');
  return readU64(header, 0x170, true, 'the virtual size');
}
