/**
 * Connecting to Unix sockets at paths of any length, and to nothing else that is put in their place.
 *
 * The kernel's limit is 107 bytes, less than a data folder plus a UUID may need; and whoever makes the socket could make a
 * link to somebody else's instead. So the socket is looked at first and then reached through a descriptor of it
 * (`/proc/self/fd/N`), which leaves nothing temporary anywhere if we are killed.
 */

import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { connect, type Socket } from 'node:net';

/** Linux: a descriptor of the thing itself, for looking at it and for naming it. Node does not name this flag. */
const O_PATH = 0o10000000;

/**
 * Connects to a listening socket; rejects with the system's error (`ENOENT`; `ECONNREFUSED` also for what is no socket).
 * Nothing is waited for between the connection and the return, or the caller could miss what happens to the socket.
 */
export async function connectUnix(path: string): Promise<Socket> {
  const found = openSync(path, O_PATH | constants.O_NOFOLLOW);
  try {
    if (!fstatSync(found).isSocket())
      throw Object.assign(new Error(`${path} is not a socket`), { code: 'ECONNREFUSED' });
    return await connected(`/proc/self/fd/${found}`);
  } finally {
    closeSync(found);
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
