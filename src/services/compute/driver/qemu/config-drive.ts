/**
 * The config drive: a small ISO 9660 image with the volume label `config-2`, where guests look for their metadata.
 * It may hold a password, so only its owner can read it (and QEMU, to whom the driver lends it).
 */

import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ConfigDrive } from '../driver.ts';
import { FILES } from './argv.ts';
import { isoImage } from './iso9660.ts';

const LABEL = 'config-2';

/** Makes `config.iso` in the guest's folder, replacing an older one. Throws `bad_spec` as `isoImage` does. */
export async function writeConfigDrive(dir: string, files: ConfigDrive): Promise<void> {
  const contents = Object.entries(files).map(([path, content]) => [
    path,
    typeof content === 'string' ? content : Buffer.from(content.base64, 'base64'),
  ]);
  const image = isoImage({ label: LABEL, files: Object.fromEntries(contents), now: new Date() });
  const partial = join(dir, `${FILES.configDrive}.partial`);
  // A mode is given only to a new file, and what a killed predecessor left may have another.
  await rm(partial, { force: true });
  await writeFile(partial, image, { mode: 0o600, flag: 'wx' });
  await rename(partial, join(dir, FILES.configDrive));
}
