/**
 * Whom QEMU runs as. Started by root it becomes a user of its own, who can reach the guests' folders and nothing else of
 * ours: images, keys and the record are closed to it.
 */
import { chmodSync, readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Log } from '#observe/log.ts';

export interface SystemUser {
  readonly uid: number;
  readonly gid: number;
}

/**
 * The user called `name`; null when this process is not root, when there is no such user, and (said in the log) when a
 * folder above the data keeps it out. Opens the folders between `data` and the guests for passing, not for reading.
 */
export function qemuUser(
  name: string,
  place: {
    readonly data: string;
    readonly instancesDir: string;
    /** Where the guests' disks are, if not there. */
    readonly disksDir?: string | null;
    readonly log: Log;
  },
): SystemUser | null {
  const user = process.geteuid?.() === 0 ? findUser(name) : null;
  if (!user) return null;
  const { data, instancesDir, disksDir = null, log } = place;
  for (let dir = instancesDir; dir.startsWith(data); dir = dirname(dir)) chmodSync(dir, 0o711);
  if (disksDir !== null) chmodSync(disksDir, 0o711);
  const closed = obstacle(user, instancesDir) ?? (disksDir === null ? null : obstacle(user, disksDir));
  if (closed !== null)
    log.warn({ folder: closed, user: name }, 'QEMU runs as root: its user cannot pass through a folder');
  return closed === null ? user : null;
}

/** The user of this machine with that name. */
export function findUser(name: string): SystemUser | null {
  for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [user, , uid, gid] = line.split(':');
    if (user === name && name !== '') return { uid: Number(uid), gid: Number(gid) };
  }
  return null;
}

/** The first folder on the way to `path` that the user may not pass through; null when there is none. */
export function obstacle(user: SystemUser, path: string): string | null {
  const { mode, uid, gid } = statSync(path);
  const bits = uid === user.uid ? mode >> 6 : gid === user.gid ? mode >> 3 : mode;
  if ((bits & 1) === 0) return path;
  return dirname(path) === path ? null : obstacle(user, dirname(path));
}
