/**
 * Connecting to Unix sockets at paths of any length.
 *
 * The kernel's limit is 107 bytes, less than a data folder plus a UUID may need. A longer path is reached through an open
 * descriptor of its folder (`/proc/self/fd/N/name`), so nothing temporary is left anywhere if we are killed.
 */

import { type FileHandle, open } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { basename, dirname } from 'node:path';

const MAX_PATH_BYTES = 107;

/** Connects to a listening socket; rejects with the system's error (`ENOENT`, `ECONNREFUSED`). */
export async function connectUnix(path: string): Promise<Socket> {
  if (Buffer.byteLength(path) <= MAX_PATH_BYTES) return connected(path);
  const folder: FileHandle = await open(dirname(path), 'r');
  try {
    return await connected(`/proc/self/fd/${folder.fd}/${basename(path)}`);
  } finally {
    await folder.close();
  }
}

function connected(path: string): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const socket = connect(path);
  socket.once('error', reject);
  socket.once('connect', () => {
    socket.off('error', reject);
    resolve(socket);
  });
  return promise;
}
