/**
 * The files of a guest as its specification wants them, and the way from one specification to another and back.
 *
 * May be killed on any line. A file that no specification speaks of yet, or any more, is first noted as doubtful
 * (`own/doubtful.json`); `sweep` removes what of that is not needed, after each change and before the next. The specification
 * before is `own/spec.before.json`: it is there from before the first change until one rename (`revert`) or one unlink (`settle`).
 */

import { mkdir, rename } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { GuestDisk, GuestSpec } from '../driver.ts';
import { DriverError } from '../driver-error.ts';
import {
  disksDirOf,
  disksOf,
  filesNeeded,
  parseSpec,
  readLasting,
  readSpec,
  unlinkIfThere,
  writeFileAtomic,
} from '../guest-files.ts';
import { FILES } from './argv.ts';
import { writeConfigDrive } from './config-drive.ts';
import { ensureDisk, growDisk, hasDisk, requireDisk, type Tools } from './disks.ts';
import { lendFiles } from './lend-files.ts';
import { ownFolder, readOwn, removeOwn, writeOwn } from './own-folder.ts';
import { shareFolder } from './shared-files.ts';

const BEFORE = 'spec.before.json';
const DOUBTFUL = 'doubtful.json';

/** Makes a guest's folder and what is missing in it. What a finished guest has lost stays lost. */
export async function createFiles(dir: string, spec: GuestSpec, tools: Tools): Promise<void> {
  const specPath = join(dir, FILES.spec);
  const specText = JSON.stringify(spec);
  const before = await readSpec(dir);
  const same = (await readLasting(dir, FILES.spec)) === specText;
  await mkdir(dir, { recursive: true, mode: 0o750 });
  await ownFolder(dir);
  if (tools.user) await shareFolder(dir, tools.user);
  const had = new Set(before ? disksOf(before).map(({ name }) => name) : []);
  const disks: GuestDisk[] = [];
  const disksDir = disksDirOf(dir, spec);
  for (const disk of disksOf(spec)) if (!had.has(disk.name) || (await hasDisk(disksDir, disk))) disks.push(disk);
  await makeFiles(dir, spec, { disks, drive: !same }, tools);
  // Last: from here on the guest exists.
  if (!same) await writeFileAtomic(specPath, specText);
}

/** Gives a guest without a process another specification, and keeps the one before. */
export async function reconfigureFiles(dir: string, spec: GuestSpec, tools: Tools): Promise<void> {
  const now = await required(dir, spec.id);
  if (isDeepStrictEqual(now, spec)) return sweep(dir);
  // Disks of an unfinished attempt hold nothing; bases were put there for us.
  const disksDir = disksDirOf(dir, spec);
  const bases = disksOf(spec).flatMap(({ base }) => (dirname(base) === disksDir ? [basename(base)] : []));
  await sweep(dir, bases);
  const before = await specBefore(dir);
  if (!before) await writeOwn(dir, BEFORE, JSON.stringify(now));
  await doubt(dir, filesNeeded(disksDir, now, spec));
  const had = new Set([now, before].flatMap((each) => (each ? disksOf(each).map(({ name }) => name) : [])));
  await makeFiles(dir, spec, { disks: disksOf(spec).filter(({ name }) => !had.has(name)), drive: true }, tools);
  await writeSpec(dir, spec);
  await sweep(dir);
}

/** Notes what does not change its files. */
export async function writeSpec(dir: string, spec: GuestSpec): Promise<void> {
  await writeFileAtomic(join(dir, FILES.spec), JSON.stringify(spec));
}

/** Makes the last `reconfigureFiles` final. */
export async function settleFiles(dir: string): Promise<void> {
  const before = await specBefore(dir);
  if (before) {
    await doubt(dir, filesNeeded(disksDirOf(dir, before), before));
    await removeOwn(dir, BEFORE);
  }
  await sweep(dir);
}

/** Takes the last `reconfigureFiles` of a guest without a process back. */
export async function revertFiles(dir: string, tools: Tools): Promise<void> {
  const before = await specBefore(dir);
  if (before) {
    await doubt(dir, filesNeeded(disksDirOf(dir, before), await required(dir, before.id)));
    await makeFiles(dir, before, { disks: [], drive: true }, tools);
    await rename(join(await ownFolder(dir), BEFORE), join(dir, FILES.spec));
  }
  await sweep(dir);
}

/** What `revertFiles` would go back to; null when there is nothing to take back. */
export async function specBefore(dir: string): Promise<GuestSpec | null> {
  const text = await readOwn(dir, BEFORE);
  return text === null ? null : parseSpec(text);
}

async function makeFiles(
  dir: string,
  spec: GuestSpec,
  wanted: { readonly disks: readonly GuestDisk[]; readonly drive: boolean },
  tools: Tools,
): Promise<void> {
  const { user, hasDisks = false } = tools;
  const { configDrive } = spec;
  const disksDir = disksDirOf(dir, spec);
  const drive = async () => {
    if (!wanted.drive) return;
    if (configDrive) await writeConfigDrive(dir, configDrive);
    else await unlinkIfThere(join(dir, FILES.configDrive));
  };
  const ensure = (disk: GuestDisk) => (hasDisks ? requireDisk : ensureDisk)(disksDir, disk);
  // All to their ends even if one fails: nothing may still be writing here when the caller hears of it.
  const parts = await Promise.allSettled([...wanted.disks.map(ensure), drive()]);
  for (const part of parts) if (part.status === 'rejected') throw part.reason;
  if (user) await lendFiles(dir, { disks: wanted.disks, drive: wanted.drive && configDrive !== null, disksDir }, user);
  if (hasDisks !== 'inUse') for (const disk of wanted.disks) await growDisk(disksDir, disk, tools);
}

/** Notes names of files that may be needless soon. */
async function doubt(dir: string, names: ReadonlySet<string>): Promise<void> {
  const all = new Set([...(await doubtful(dir)), ...names]);
  await writeOwn(dir, DOUBTFUL, JSON.stringify([...all]));
}

/** Removes what is doubtful and not needed by any specification, except `spared`. */
async function sweep(dir: string, spared: readonly string[] = []): Promise<void> {
  const names = await doubtful(dir);
  const before = await specBefore(dir);
  if (!before) await removeOwn(dir, BEFORE); // as far as it was written when somebody was killed
  const now = await readSpec(dir);
  const disksDir = now ? disksDirOf(dir, now) : dir;
  const needed = filesNeeded(disksDir, now, before);
  for (const name of names) {
    if (needed.has(name) || spared.includes(name)) continue;
    await unlinkIfThere(join(disksDir, name));
    await unlinkIfThere(join(disksDir, `${name}.partial`));
  }
  await removeOwn(dir, DOUBTFUL);
}

async function doubtful(dir: string): Promise<readonly string[]> {
  const text = await readOwn(dir, DOUBTFUL);
  return text === null ? [] : (JSON.parse(text) as string[]); // written by `doubt`
}

async function required(dir: string, id: string): Promise<GuestSpec> {
  const spec = await readSpec(dir);
  if (!spec) throw new DriverError('guest_not_found', `Guest ${id} was not created`);
  return spec;
}
