/** A cloud with one real guest whose password is known, and ways to its consoles. */
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { createWebSocketStream, WebSocket } from 'ws';
import { guestImagePath } from '../../src/cli/demo/guest-image.ts';
import { SerialConsole } from '../../src/cli/serial-console.ts';
import { type TestCloud, testCloud } from '../cloud.ts';
import { TestServer } from '../server.ts';

/** Of root on every guest; plain letters, which every keyboard has in the same place. */
export const PASSWORD = 'abcdefgh';

export interface ConsoleWorld extends AsyncDisposable {
  readonly cloud: TestCloud;
  readonly server: TestServer;
  /** A new link, as the API gives it. */
  link(type: 'novnc' | 'serial'): Promise<URL>;
  /** Another guest of the same kind. */
  launch(): Promise<TestServer>;
}

export async function consoleWorld(): Promise<ConsoleWorld> {
  const cloud = await testCloud({ driver: 'qemu' });
  const image = await cloud.registerImage(readFileSync(guestImagePath()));
  const client = await cloud.as('demo');
  const launch = async () => {
    const wanted = { name: 'seen', imageRef: image, flavorRef: '42', networks: 'none', adminPass: PASSWORD };
    const answer = await client.request<{ server: { id: string } }>('POST', '/compute/v2.1/servers', {
      json: { server: wanted },
    });
    const server = new TestServer(cloud, 'demo', answer.body.server.id, answer.requestId);
    await server.is('ACTIVE');
    return server;
  };
  const server = await launch();
  return {
    cloud,
    server,
    launch,
    link: async (type) => linkTo(cloud, server.id, type),
    [Symbol.asyncDispose]: () => cloud[Symbol.asyncDispose](),
  };
}

export async function linkTo(cloud: TestCloud, serverId: string, type: 'novnc' | 'serial'): Promise<URL> {
  const wanted = { protocol: type === 'novnc' ? 'vnc' : 'serial', type };
  const client = await cloud.as('demo');
  const path = `/compute/v2.1/servers/${serverId}/remote-consoles`;
  const { remote_console: made } = await client.ok<{ remote_console: { url: string } }>('POST', path, {
    json: { remote_console: wanted },
  });
  return new URL(made.url);
}

/** The WebSocket that a link leads to, as clients without a browser find it: named in `path`, or the link itself. */
export function socketOf(link: URL): URL {
  const path = link.searchParams.get('path');
  const url = path === null ? new URL(link) : new URL(`/${path}`, link);
  url.protocol = 'ws:';
  return url;
}

/** The status with which a handshake is refused; 101 when it is not. */
export function statusOf(url: URL, headers: Readonly<Record<string, string>> = {}): Promise<number | undefined> {
  const socket = new WebSocket(url, ['binary'], { headers });
  return new Promise((resolve, reject) => {
    socket.once('open', () => {
      resolve(101);
      socket.close();
    });
    socket.once('unexpected-response', (_, response) => {
      resolve(response.statusCode);
      socket.terminate();
    });
    socket.on('error', reject);
  });
}

/** The serial console over its WebSocket, and the socket itself. */
export function serialOver(link: URL): { readonly console: SerialConsole; readonly socket: WebSocket } {
  const socket = new WebSocket(socketOf(link), ['binary']);
  // It asks no more of a socket than any stream has.
  const stream = createWebSocketStream(socket) as unknown as Socket;
  return { console: new SerialConsole(stream), socket };
}
