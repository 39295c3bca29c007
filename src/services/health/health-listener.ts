/**
 * The listener for those who watch a process: `/livez`, `/readyz` and `/metrics`, in processes of any role.
 *
 * Apart from the API, which tenants reach: what it answers names hosts and addresses, and it asks for no token. It begins
 * before anything else that can fail or wait, and ends last.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Exposition } from '#observe/prometheus.ts';
import type { Readiness } from './readiness.ts';

export interface HealthOptions {
  readonly listen: { readonly host: string; readonly port: number };
  readonly readiness: Readiness;
  readonly metrics: Pick<Exposition, 'contentType' | 'scrape'>;
}

export interface HealthListener {
  /** `http://host:port` */
  readonly url: string;
  close(): Promise<void>;
}

interface Said {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** Probes and scrapers are few; whoever opens more connections is none of them. */
const MAX_CONNECTIONS = 64;
const REQUEST_MS = 5_000;
const TEXT = 'text/plain; charset=utf-8';

/** Resolves when it listens. Throws when the address is taken. */
export async function listenForHealth(options: HealthOptions): Promise<HealthListener> {
  const server = createServer(
    { requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS, maxHeaderSize: 8_192 },
    (request, response) => void answer(options, request, response),
  );
  server.maxConnections = MAX_CONNECTIONS;
  server.listen(options.listen);
  await once(server, 'listening');
  return { url: urlOf(server), close: () => close(server) };
}

async function answer(options: HealthOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { status, type, body } = await said(options, request).catch((error: unknown) => ({
    status: 500,
    type: TEXT,
    body: `${(error as Error).message}\n`,
  }));
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    ...(status === 405 && { allow: 'GET, HEAD' }),
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}

async function said({ readiness, metrics }: HealthOptions, request: IncomingMessage): Promise<Said> {
  if (request.method !== 'GET' && request.method !== 'HEAD') return { status: 405, type: TEXT, body: 'GET or HEAD\n' };
  switch (request.url?.split('?')[0]) {
    case '/livez':
      // That it is answered says it: a process whose event loop stands still answers nothing.
      return { status: 200, type: TEXT, body: 'ok\n' };
    case '/readyz': {
      const verdict = await readiness.look();
      const body = `${JSON.stringify(verdict, null, 2)}\n`;
      return { status: verdict.ready ? 200 : 503, type: 'application/json', body };
    }
    case '/metrics':
      return { status: 200, type: metrics.contentType, body: await metrics.scrape() };
    default:
      return { status: 404, type: TEXT, body: '/livez, /readyz or /metrics\n' };
  }
}

function urlOf(server: Server): string {
  // Not a pipe, so the address is one.
  const { address, family, port } = server.address() as AddressInfo;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}

async function close(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}
