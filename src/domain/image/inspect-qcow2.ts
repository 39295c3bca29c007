/**
 * The header of a qcow2: refuses whatever would make QEMU open another file or spend without bound.
 *
 * A backing file or an external data file names a path of the *host* (CVE-2024-32498); both are refused, also where
 * only a header extension names them. Source: QEMU `docs/interop/qcow2.rst`.
 */
import { type ByteSource, readExactly, readU64, refuse } from './byte-source.ts';

const DIRTY = 1n << 0n;
const CORRUPT = 1n << 1n;
const EXTERNAL_DATA = 1n << 2n;
const COMPRESSION_TYPE = 1n << 3n;
const EXTENDED_L2 = 1n << 4n;
const KNOWN_FEATURES = DIRTY | CORRUPT | EXTERNAL_DATA | COMPRESSION_TYPE | EXTENDED_L2;

const EXTENSION_END = 0;
const EXTENSION_DATA_FILE = 0x44415441;
const MAX_EXTENSIONS = 64;
/** QEMU's own limit for the first-level table. */
const MAX_L1_BYTES = 32 * 2 ** 20;

/** The virtual size in bytes. */
export async function inspectQcow2(source: ByteSource): Promise<number> {
  const header = await readExactly(source, 0, 72, 'the qcow2 header');
  const version = header.getUint32(4);
  if (version !== 2 && version !== 3) refuse(`qcow2 version ${version} is not 2 or 3`);
  if (header.getBigUint64(8) !== 0n)
    refuse('the qcow2 has a backing file; flatten it with "qemu-img convert -O qcow2"');
  const clusterBits = header.getUint32(20);
  if (clusterBits < 9 || clusterBits > 21) refuse(`qcow2 clusters of 2^${clusterBits} bytes are out of range`);
  const virtualSize = readU64(header, 24, false, 'the virtual size');
  if (header.getUint32(32) !== 0) refuse('the qcow2 is encrypted');
  checkTables(header, virtualSize, clusterBits, source);
  await checkExtensions(source, version, clusterBits);
  return virtualSize;
}

function checkTables(header: DataView, virtualSize: number, clusterBits: number, source: ByteSource): void {
  const l1Bytes = header.getUint32(36) * 8;
  if (l1Bytes > MAX_L1_BYTES) refuse('the qcow2 has an absurd first-level table');
  // With extended L2 entries a table covers half as much, so this is the least that is needed.
  const covered = (l1Bytes / 8) * 2 ** (clusterBits - 3) * 2 ** clusterBits;
  if (covered < virtualSize) refuse('the tables of the qcow2 do not cover its virtual size');
  const l1End = readU64(header, 40, false, 'an offset of the qcow2') + l1Bytes;
  const refcounts = readU64(header, 48, false, 'an offset of the qcow2');
  if (source.complete !== false && (l1End > source.size || refcounts >= source.size)) refuse('the qcow2 is cut short');
}

async function checkExtensions(source: ByteSource, version: number, clusterBits: number): Promise<void> {
  let at = 72;
  if (version === 3) {
    const rest = await readExactly(source, 72, 32, 'the qcow2 header');
    checkFeatures(rest.getBigUint64(0));
    at = rest.getUint32(28);
    if (at < 104 || at % 8 !== 0 || at > 2 ** clusterBits) refuse(`a qcow2 header of ${at} bytes is out of range`);
    if ((rest.getBigUint64(0) & COMPRESSION_TYPE) !== 0n) {
      if (at < 112) refuse('the qcow2 names no compression type');
      const type = (await readExactly(source, 104, 1, 'the qcow2 header')).getUint8(0);
      if (type > 1) refuse(`compression type ${type} of the qcow2 is unknown`);
    }
  }
  const end = 2 ** clusterBits;
  for (let count = 0; at + 8 <= end; count += 1) {
    if (count > MAX_EXTENSIONS) refuse('the qcow2 has too many header extensions');
    const extension = await readExactly(source, at, 8, 'the qcow2 header extensions');
    const type = extension.getUint32(0);
    if (type === EXTENSION_END) return;
    if (type === EXTENSION_DATA_FILE) refuse('the qcow2 keeps its data in another file');
    const length = extension.getUint32(4);
    if (length > end - at - 8) refuse('a header extension of the qcow2 is longer than its cluster');
    at += 8 + Math.ceil(length / 8) * 8;
  }
}

function checkFeatures(incompatible: bigint): void {
  if ((incompatible & EXTERNAL_DATA) !== 0n) refuse('the qcow2 keeps its data in another file');
  if ((incompatible & CORRUPT) !== 0n) refuse('the qcow2 is marked corrupt; repair it with "qemu-img check -r all"');
  const unknown = incompatible & ~KNOWN_FEATURES;
  if (unknown !== 0n) refuse(`the qcow2 needs unknown features (0x${unknown.toString(16)})`);
}
