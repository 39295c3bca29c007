/**
 * Unix sockets at paths of any length: connecting to them, and to nothing else that is put in their place, and listening.
 *
 * The kernel's limit is 107 bytes, less than a data folder plus a UUID may need; and whoever makes the socket could make a
 * link to somebody else's instead. So the socket is looked at first and then reached through a descriptor of it
 * (`/proc/self/fd/N`), which leaves nothing temporary anywhere if we are killed.
 */

import { once } from 'node:events';
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { chmod, chown } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { basename, dirname } from 'node:path';
import { unlinkIfThere } from '../guest-files.ts';
import type { RunAs } from './run-as.ts';

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

/** A socket of ours that QEMU connects to. */
export interface Listening {
  /** Takes the socket away; connections stay. */
  close(): Promise<void>;
}

/** Listens at `path`, replacing what is there. Nobody but our own user can connect, and `user` if there is one. */
export async function listenUnix(
  path: string,
  user: RunAs | null,
  onConnection: (socket: Socket) => void,
): Promise<Listening> {
  await unlinkIfThere(path);
  const folder = openSync(dirname(path), O_PATH | constants.O_DIRECTORY);
  const server = createServer((socket) => {
    socket.on('error', () => undefined); // whoever reads from it hears of it, too
    onConnection(socket);
  });
  try {
    server.listen(`/proc/self/fd/${folder}/${basename(path)}`);
    await once(server, 'listening');
    if (user) {
      await chown(path, process.geteuid?.() ?? 0, user.gid);
      await chmod(path, 0o660);
    }
  } catch (error) {
    server.close();
    closeSync(folder);
    throw error;
  }
  return {
    async close() {
      server.close(); // unlinks by the name it was given, so the folder's descriptor must still be the same
      closeSync(folder);
      await unlinkIfThere(path);
    },
  };
}

/** A socket that somebody is expected to connect to, once. */
export interface Expectation extends Listening {
  /** Resolves with the connection; may never do so. */
  readonly connection: Promise<Socket>;
}

/** Listens at `path` for one connection. */
export async function expectConnection(path: string, user: RunAs | null): Promise<Expectation> {
  const { promise, resolve } = Promise.withResolvers<Socket>();
  let isFirst = true;
  const listening = await listenUnix(path, user, (socket) => {
    if (isFirst) resolve(socket);
    else socket.destroy();
    isFirst = false;
  });
  return { ...listening, connection: promise };
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
