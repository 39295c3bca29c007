/**
 * Is an image what its owner says it is, and safe to hand to QEMU?
 *
 * Asked by the image service while and after an upload, and again by every compute host before it uses the file, with
 * the same answer. Only headers are read: a few milliseconds at any size.
 */
import { type ByteSource, refuse } from './byte-source.ts';
import { DETECT_BYTES, type DetectedFormat, detectFormat } from './detect-format.ts';
import type { DiskFormat } from './image.ts';
import { inspectVhd, inspectVhdx } from './inspect-microsoft.ts';
import { inspectQcow2 } from './inspect-qcow2.ts';
import { inspectVdi } from './inspect-vdi.ts';
import { inspectVmdk } from './inspect-vmdk.ts';

/** Larger disks are refused: a few KiB can claim any size. */
export const DEFAULT_MAX_VIRTUAL_BYTES = 16 * 2 ** 40;

export interface InspectOptions {
  /** What the owner says it is; without it the content decides (and raw is what nothing else is). */
  readonly declared?: DiskFormat;
  readonly maxVirtualBytes?: number;
}

export interface Inspection {
  readonly format: DiskFormat;
  /** What a guest would see, in bytes. */
  readonly virtualSizeBytes: number;
}

/**
 * Throws `imageRejected` with the reason. Throws `NotYet` where the source is not complete and what has arrived gives
 * no ground for a refusal.
 */
export async function inspectImage(source: ByteSource, options: InspectOptions = {}): Promise<Inspection> {
  const found = detectFormat(await source.read(0, Math.min(DETECT_BYTES, source.size)));
  const format = options.declared ?? formatOf(found);
  checkDeclaration(format, found);
  const virtualSizeBytes = await virtualSize(source, format);
  const max = options.maxVirtualBytes ?? DEFAULT_MAX_VIRTUAL_BYTES;
  if (virtualSizeBytes > max) refuse(`its virtual size of ${virtualSizeBytes} bytes is over the limit of ${max}`);
  return { format, virtualSizeBytes };
}

function virtualSize(source: ByteSource, format: DiskFormat): number | Promise<number> {
  switch (format) {
    case 'qcow2':
      return inspectQcow2(source);
    case 'vmdk':
      return inspectVmdk(source);
    case 'vhd':
      return inspectVhd(source);
    case 'vhdx':
      return inspectVhdx(source);
    case 'vdi':
      return inspectVdi(source);
    default:
      return source.size;
  }
}

function checkDeclaration(declared: DiskFormat, found: DetectedFormat | null): void {
  switch (declared) {
    case 'raw':
    case 'ami':
    case 'ari':
    case 'aki':
      // A header inside "raw" is how a guest's disk turns into a pointer to the host's files once somebody probes it.
      if (found && found !== 'iso' && found !== 'luks') refuse(`declared ${declared}, but its content is ${found}`);
      return;
    case 'vhd':
      // A fixed VHD is known by its footer alone.
      if (found && found !== 'vhd') refuse(`declared vhd, but its content is ${found}`);
      return;
    default:
      if (found !== declared) refuse(`declared ${declared}, but its content is ${found ?? `not ${declared}`}`);
  }
}

function formatOf(found: DetectedFormat | null): DiskFormat {
  if (found === 'qed') refuse('QED is not a disk format of images');
  return found === null || found === 'luks' ? 'raw' : found;
}
