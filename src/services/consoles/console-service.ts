/**
 * The console proxy over HTTP, as nova-novncproxy and nova-serialproxy are in Nova: pages for browsers, and the WebSockets
 * that they, and clients of other kinds, connect to.
 */
import { readFile } from 'node:fs/promises';
import type { FastifyInstance } from 'fastify';
import { CloudError } from '#domain/errors.ts';
import { computeFault } from '#http/fault.ts';
import { type Answer, type Route, route } from '#http/route.ts';
import type { Service } from '#http/server.ts';
import { consoleAssets, PAGES } from './assets.ts';
import { type ConsoleDeps, ConsoleProxy } from './console-proxy.ts';

const PREFIX = '/console';

/** `/serial` is a page for browsers and a WebSocket for clients that were told of it by the API. */
const SOCKETS = [`${PREFIX}/ws`, `${PREFIX}/serial`];

/** The service, and its WebSockets on the server that it will be mounted on. */
export function consoleService(server: FastifyInstance, deps: ConsoleDeps): Service {
  const proxy = new ConsoleProxy(deps);
  for (const path of SOCKETS)
    server.webSockets.register(path, ({ searchParams }) => proxy.admit(searchParams.get('token')));
  return {
    name: 'nova-novncproxy',
    prefix: PREFIX,
    fault: computeFault,
    log: deps.log,
    routes: consoleRoutes(proxy),
  };
}

function consoleRoutes(proxy: ConsoleProxy): Route[] {
  const assets = consoleAssets();
  return [
    page('novnc', 'Shows the screen of a server.'),
    page('serial', 'Shows a terminal on the serial line of a server.'),
    route({
      method: 'GET',
      path: '/ws',
      doc: 'A WebSocket to the console that the token is for. Without an upgrade it says why one would be refused.',
      access: 'anyone',
      success: 426,
      handle: async (request) => {
        const { token } = request.query as { token?: string | string[] };
        await proxy.check(typeof token === 'string' ? token : null);
        return { headers: { upgrade: 'websocket', 'cache-control': 'no-store' } };
      },
    }),
    route({
      method: 'GET',
      path: '/assets/*',
      doc: 'The scripts and styles of the pages.',
      access: 'anyone',
      success: 200,
      handle: async (request) => {
        const asset = assets.get(request.params['*'] ?? '');
        if (!asset) throw new CloudError('routeNotFound', {});
        return {
          headers: { ...SAFE, 'content-type': asset.contentType, 'cache-control': 'max-age=3600' },
          body: await readFile(asset.file),
        };
      },
    }),
  ];
}

const SAFE = { 'x-content-type-options': 'nosniff' };

function page(name: keyof typeof PAGES, doc: string): Route {
  return route({
    method: 'GET',
    path: `/${name}`,
    doc,
    access: 'anyone',
    success: 200,
    handle: async ({ base }): Promise<Answer> => ({
      headers: {
        ...SAFE,
        'content-type': 'text/html; charset=utf-8',
        'content-security-policy': policyFor(new URL(base).host),
        // The address holds the token.
        'referrer-policy': 'no-referrer',
        'cache-control': 'no-store',
      },
      body: await readFile(PAGES[name]),
    }),
  });
}

/**
 * Scripts come from here and nowhere else, and talk to nobody else. xterm makes style sheets while it runs. Who may frame the
 * page is not said, since dashboards do: whoever knows its address could open it anyway.
 */
function policyFor(host: string): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data:",
    // Not every browser takes a WebSocket to the same host for `self`.
    `connect-src 'self' ws://${host} wss://${host}`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
}
