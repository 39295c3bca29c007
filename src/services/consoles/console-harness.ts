/**
 * For tests: the console proxy on a server that listens, over a record in memory, with guests' consoles replaced by streams
 * that the test holds the other end of.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { type Duplex, duplexPair } from 'node:stream';
import pino from 'pino';
import { WebSocket } from 'ws';
import { insertConsoleToken } from '#db/repo/console-tokens.ts';
import type { ConsoleTokenRow, ServerRow } from '#db/tables/compute.ts';
import { openTestDatabase } from '#db/testing/test-database.ts';
import { CloudError } from '#domain/errors.ts';
import { httpServer, mount } from '#http/server.ts';
import { consoleService } from './console-service.ts';

export interface Refused {
  readonly status: number | undefined;
}

export interface ClosedBy {
  readonly code: number;
  readonly reason: string;
}

export async function consoleHarness() {
  const db = await openTestDatabase();
  const lines: string[] = [];
  const log = pino({ level: 'debug' }, { write: (line: string) => lines.push(line) });
  const server = httpServer({ authenticate: () => null, log });
  const harness = { clock: Date.UTC(2026, 0, 2) };
  /** The guests' ends of what was opened, in order. */
  const guests: Duplex[] = [];
  let opened = async (): Promise<Duplex> => {
    const [viewerSide, guestSide] = duplexPair();
    guests.push(guestSide);
    // What a broken connection does to its other end.
    viewerSide.once('close', () => guestSide.destroy());
    guestSide.once('close', () => viewerSide.destroy());
    return viewerSide;
  };
  const streams = { open: () => opened() };
  mount(server, consoleService(server, { db, streams, now: () => harness.clock, log }), {
    authenticate: () => null,
    log,
  });
  const url = await server.listen({ host: '127.0.0.1', port: 0 });
  return Object.assign(harness, {
    db,
    server,
    url,
    lines,
    guests,
    /** Every guest from now on has this at the other end, or fails with it. */
    answerWith(stream: () => Promise<Duplex>) {
      opened = stream;
    },
    async addServer(columns: Partial<ServerRow> = {}): Promise<string> {
      const id = randomUUID();
      const row = { id, project_id: 'p', user_id: 'u', name: 'n', hostname: 'n', image_id: 'i', flavor: '{}' };
      const texts = { metadata: '{}', tags: '[]', nics: '[]', reservation_id: 'r', access_ip_v4: '', access_ip_v6: '' };
      const numbers = { config_drive: 0, launch_index: 0, power_state: 1, progress: 0, locked: 0, version: 1 };
      const times = { created_at: 1, updated_at: 1 };
      const state = { vm_state: 'active', host: 'host-1', disk_config: 'AUTO' } as const;
      // The columns left out may be null.
      const whole = { ...row, ...texts, ...numbers, ...times, ...state, ...columns } as ServerRow;
      await db.queries.insertInto('servers').values(whole).execute();
      return id;
    },
    token: (server_id: string, kind: ConsoleTokenRow['kind'] = 'novnc', lifeMs = 1000) =>
      insertConsoleToken(db.queries, { server_id, kind, expires_at: harness.clock + lifeMs }, harness.clock),
    /** The open socket, or the status that it was refused with. */
    async connect(token: string, options: { readonly origin?: string; readonly path?: string } = {}) {
      const address = `${url.replace('http', 'ws')}${options.path ?? '/console/ws'}?token=${token}`;
      const socket = new WebSocket(address, ['binary'], { ...(options.origin && { origin: options.origin }) });
      return new Promise<WebSocket | Refused>((resolve, reject) => {
        socket.once('open', () => resolve(socket));
        socket.once('unexpected-response', (_, response) => {
          resolve({ status: response.statusCode });
          socket.terminate();
        });
        socket.on('error', reject);
      });
    },
    async [Symbol.asyncDispose]() {
      await server.close();
      await db.close();
    },
  });
}

/** Throws when it was refused. */
export function open(answer: WebSocket | Refused): WebSocket {
  if (answer instanceof WebSocket) return answer;
  throw new Error(`refused with ${answer.status}`);
}

export async function closing(socket: WebSocket): Promise<ClosedBy> {
  const [code, reason] = await once(socket, 'close');
  return { code, reason: String(reason) };
}

/** Resolves when the guest was let go. */
export async function ended(guest: Duplex | undefined): Promise<void> {
  if (guest && !guest.destroyed) await once(guest, 'close');
}

/** Resolves with what a stream or a socket gets next. */
export async function next(source: Duplex | WebSocket): Promise<string> {
  const [bytes] = await once(source, source instanceof WebSocket ? 'message' : 'data');
  return String(bytes);
}

export const notReady = () => new CloudError('instanceNotReady', { id: 'x' });
