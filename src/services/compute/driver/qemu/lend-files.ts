/** What QEMU's user needs of a guest's folder to boot it. */

import { dirname, join } from 'node:path';
import type { GuestDisk } from '../driver.ts';
import { diskFile } from '../guest-files.ts';
import { FILES } from './argv.ts';
import type { RunAs } from './run-as.ts';
import { LENT, lend } from './shared-files.ts';

/** Lends these disks, which lie in `disksDir`, and the config drive where that is asked for. Lent already: nothing changes. */
export async function lendFiles(
  dir: string,
  {
    disks,
    drive,
    disksDir,
  }: { readonly disks: readonly GuestDisk[]; readonly drive: boolean; readonly disksDir: string },
  user: RunAs,
): Promise<void> {
  for (const { name } of disks) await lend(join(disksDir, diskFile(name)), user, LENT.toWrite);
  if (drive) await lend(join(dir, FILES.configDrive), user, LENT.toRead);
  // A base in the folder is a link to a file that others use, too.
  for (const { base } of disks) if (dirname(base) === disksDir) await lend(base, user, LENT.toRead);
}
