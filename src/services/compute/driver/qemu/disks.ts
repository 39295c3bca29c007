/**
 * The root disk's file: an empty layer over a base image that nobody ever writes.
 *
 * An existing disk is never replaced. A base that names other files is refused: opening it would let an image's author
 * read files of the host (CVE-2024-32498).
 */

import { rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { GuestSpec } from '../driver.ts';
import { DriverError } from '../driver-error.ts';
import { isMissing } from '../guest-files.ts';
import { readQcow2Header, writeEmptyQcow2 } from '../qcow2.ts';
import { FILES } from './argv.ts';

/** Makes `disk.qcow2` unless it is there. Throws `bad_base_image` or `bad_spec` (disk smaller than its base). */
export async function ensureDisk(dir: string, spec: GuestSpec): Promise<void> {
  const path = join(dir, FILES.disk);
  // A file without a header was cut off by a host failure before any guest used it.
  if (await readQcow2Header(path)) return;
  const { base, baseFormat, sizeBytes } = spec.disk;
  const baseSize = await checkBase(base, baseFormat);
  if (sizeBytes < baseSize) {
    throw new DriverError(
      'bad_spec',
      `Disk of ${sizeBytes} bytes is smaller than its base ${base} (${baseSize} bytes)`,
    );
  }
  const partial = `${path}.partial`;
  await writeEmptyQcow2(partial, sizeBytes, { path: base, format: baseFormat });
  await rename(partial, path);
}

/** Virtual size of a base image in bytes, or `bad_base_image`. */
async function checkBase(base: string, format: 'qcow2' | 'raw'): Promise<number> {
  if (format === 'raw') {
    try {
      return (await stat(base)).size;
    } catch (error) {
      if (isMissing(error)) throw new DriverError('bad_base_image', `Base image ${base} does not exist`);
      throw error;
    }
  }
  const header = await readQcow2Header(base);
  if (!header) throw new DriverError('bad_base_image', `Base image ${base} is missing or not a qcow2 image`);
  if (header.backingFile !== null || header.externalDataFile) {
    throw new DriverError('bad_base_image', `Base image ${base} refers to another file, which is not allowed`);
  }
  return header.virtualSizeBytes;
}
