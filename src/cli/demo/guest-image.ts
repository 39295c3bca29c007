/** Where the guest image is that the setup built. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { CommandError } from '../command-error.ts';

/** Throws `CommandError` when it was not built yet. */
export function guestImagePath(): string {
  const { MICRONOVA_GUEST_IMAGE, MICRONOVA_CACHE, XDG_CACHE_HOME } = process.env;
  const base = join(XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'micronova');
  const candidates = [
    MICRONOVA_GUEST_IMAGE,
    join(MICRONOVA_CACHE ?? base, 'guest.qcow2'),
    join('.cache', 'micronova', 'guest.qcow2'),
  ];
  const found = candidates.find((path) => path !== undefined && existsSync(path));
  if (found === undefined) throw new CommandError("the guest image is not built yet: run 'npm run setup'");
  return found;
}
