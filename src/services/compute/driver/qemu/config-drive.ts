/**
 * The config drive: a small ISO 9660 image with the volume label `config-2`, where guests look for their metadata.
 * It may hold a password, so neither the image nor the tree it is made from is readable for others.
 */

import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import { DriverError } from '../driver-error.ts';
import { FILES } from './argv.ts';
import type { Spawner } from './spawner.ts';

const LABEL = 'config-2';

/**
 * Makes `config.iso` in the guest's folder from `files` (path inside the drive → text), replacing an older one.
 * Throws `bad_spec` for a path that leaves the drive. Runs `genisoimage`.
 */
export async function writeConfigDrive(
  dir: string,
  files: Readonly<Record<string, string>>,
  spawner: Spawner,
): Promise<void> {
  const tree = join(dir, 'config.tree');
  const partial = join(dir, `${FILES.configDrive}.partial`);
  await rm(tree, { recursive: true, force: true });
  await mkdir(tree, { mode: 0o700 });
  await Promise.all(Object.entries(files).map(([path, text]) => writeInside(tree, path, text)));
  await spawner.run(
    ['genisoimage', '-quiet', '-o', partial, '-J', '-r', '-ldots', '-allow-lowercase', '-allow-multidot', '-l'].concat(
      ['-publisher', 'Micronova', '-V', LABEL],
      [tree],
    ),
    { cwd: dir },
  );
  await rename(partial, join(dir, FILES.configDrive));
  await rm(tree, { recursive: true, force: true });
}

async function writeInside(tree: string, path: string, text: string): Promise<void> {
  const clean = normalize(path);
  if (path === '' || clean.startsWith('/') || clean.split('/').includes('..')) {
    throw new DriverError('bad_spec', `Config drive: the path ${JSON.stringify(path)} leaves the drive`);
  }
  const target = join(tree, clean);
  await mkdir(dirname(target), { recursive: true, mode: 0o700 });
  await writeFile(target, text, { mode: 0o600 });
}
