/**
 * The first kilobytes of qcow2, read and written without starting a program.
 *
 * Reading answers one question about an untrusted image: does it refer to other files? Writing makes an empty image
 * (with or without a backing file) in about a millisecond, where `qemu-img create` costs a process of 15 to 30 ms.
 * What is written here must always pass `qemu-img check`. Layout: docs/interop/qcow2.txt of QEMU.
 */

import { type FileHandle, open, rm } from 'node:fs/promises';
import { DriverError } from './driver-error.ts';
import { isMissing } from './guest-files.ts';

const MAGIC = 0x514649fb;
const CLUSTER = 65536;
const HEADER_V3 = 104;
/** Offset in the header of version 3 and later; version 2 ends before it. */
const INCOMPATIBLE_FEATURES = 72;
const EXTERNAL_DATA_FILE = 1n << 2n;
const EXTENSION_END = 0;
const EXTENSION_BACKING_FORMAT = 0xe2792aca;
const EXTENSION_DATA_FILE = 0x44415441;
/** Guest bytes that one entry of the first-level table covers: 8192 clusters. */
const BYTES_PER_L1_ENTRY = CLUSTER * (CLUSTER / 8);
/** QEMU refuses longer names. */
const MAX_BACKING_PATH = 1023;

/** What a qcow2 header says about size and about other files. */
export interface Qcow2Header {
  readonly virtualSizeBytes: number;
  readonly backingFile: string | null;
  /** The guest's data lies in another file, whose name the image's author chose. */
  readonly externalDataFile: boolean;
}

/** Reads a header; null when the file is missing or is no qcow2 (also: cut off, or version unknown). */
export async function readQcow2Header(path: string): Promise<Qcow2Header | null> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(CLUSTER), 0, CLUSTER, 0);
    return parseQcow2Header(buffer.subarray(0, bytesRead));
  } finally {
    await file.close();
  }
}

/** The same from the first cluster in memory. */
export function parseQcow2Header(bytes: Buffer): Qcow2Header | null {
  if (bytes.length < INCOMPATIBLE_FEATURES || bytes.readUInt32BE(0) !== MAGIC) return null;
  const version = bytes.readUInt32BE(4);
  if (version !== 2 && version !== 3) return null;
  const v3 = version === 3 && bytes.length >= HEADER_V3;
  const nameOffset = Number(bytes.readBigUInt64BE(8));
  const nameLength = bytes.readUInt32BE(16);
  const features = v3 ? bytes.readBigUInt64BE(INCOMPATIBLE_FEATURES) : 0n;
  const extensions = extensionTypes(bytes, v3 ? bytes.readUInt32BE(100) : INCOMPATIBLE_FEATURES);
  return {
    virtualSizeBytes: Number(bytes.readBigUInt64BE(24)),
    // A name outside the first cluster is not valid, yet QEMU's view of it is what counts: never call that "none".
    backingFile: nameOffset === 0 ? null : bytes.toString('utf8', nameOffset, nameOffset + nameLength),
    externalDataFile: (features & EXTERNAL_DATA_FILE) !== 0n || extensions.has(EXTENSION_DATA_FILE),
  };
}

function extensionTypes(bytes: Buffer, start: number): Set<number> {
  const types = new Set<number>();
  for (let at = start; at + 8 <= bytes.length; ) {
    const type = bytes.readUInt32BE(at);
    if (type === EXTENSION_END) break;
    types.add(type);
    at += 8 + Math.ceil(bytes.readUInt32BE(at + 4) / 8) * 8;
  }
  return types;
}

/** The layer under a new image. */
export interface Backing {
  /** Absolute; anything else could be read as a protocol (`nbd:`, `json:`). */
  readonly path: string;
  readonly format: 'qcow2' | 'raw';
}

/**
 * Writes an empty qcow2 of `sizeBytes` (rounded up to 512) at `path`, overwriting. Equal to `qemu-img create -f qcow2
 * [-b … -F …]`. Not synced to disk, and not atomic: the caller renames. A link at `path` is replaced, never followed.
 */
export async function writeEmptyQcow2(path: string, sizeBytes: number, backing: Backing | null): Promise<void> {
  const size = Math.ceil(sizeBytes / 512) * 512;
  const l1Entries = Math.max(1, Math.ceil(size / BYTES_PER_L1_ENTRY));
  const l1Clusters = Math.ceil((l1Entries * 8) / CLUSTER);
  await rm(path, { force: true });
  const file = await open(path, 'wx', 0o640);
  try {
    // Clusters: 0 header, 1 refcount table, 2 refcount block, 3 and on the (empty) first-level table.
    const head = Buffer.alloc(2048);
    head.writeUInt32BE(MAGIC, 0);
    head.writeUInt32BE(3, 4);
    head.writeUInt32BE(16, 20);
    head.writeBigUInt64BE(BigInt(size), 24);
    head.writeUInt32BE(l1Entries, 36);
    head.writeBigUInt64BE(BigInt(3 * CLUSTER), 40);
    head.writeBigUInt64BE(BigInt(CLUSTER), 48);
    head.writeUInt32BE(1, 56);
    head.writeUInt32BE(4, 96);
    head.writeUInt32BE(HEADER_V3, 100);
    if (backing) writeBacking(head, backing);
    const table = Buffer.alloc(8);
    table.writeBigUInt64BE(BigInt(2 * CLUSTER));
    const counts = Buffer.alloc((3 + l1Clusters) * 2);
    for (let cluster = 0; cluster < 3 + l1Clusters; cluster += 1) counts.writeUInt16BE(1, cluster * 2);
    await file.truncate((3 + l1Clusters) * CLUSTER);
    await file.write(head, 0, head.length, 0);
    await file.write(table, 0, table.length, CLUSTER);
    await file.write(counts, 0, counts.length, 2 * CLUSTER);
  } finally {
    await file.close();
  }
}

function writeBacking(head: Buffer, backing: Backing): void {
  const name = Buffer.from(backing.path);
  if (!backing.path.startsWith('/') || name.length > MAX_BACKING_PATH) {
    throw new DriverError('bad_spec', `Base image ${backing.path}: an absolute path of at most 1023 bytes needed`);
  }
  head.writeUInt32BE(EXTENSION_BACKING_FORMAT, HEADER_V3);
  head.writeUInt32BE(backing.format.length, HEADER_V3 + 4);
  head.write(backing.format, HEADER_V3 + 8);
  const nameOffset = HEADER_V3 + 8 + 8 + 8;
  name.copy(head, nameOffset);
  head.writeBigUInt64BE(BigInt(nameOffset), 8);
  head.writeUInt32BE(name.length, 16);
}
