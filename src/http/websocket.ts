/**
 * WebSockets on the same server and port: who may open one, and how all of them end.
 *
 * Only a WebSocket's opening handshake for a path that is registered is taken from the ordinary way of requests; any other
 * `Upgrade` is ignored, as HTTP allows. Whether the caller may in is decided before the handshake is answered, and a refusal
 * is an HTTP status without a body: a client without a browser then sees a connection that never opened.
 */
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { CloudError } from '#domain/errors.ts';
import { type Log, logHop } from '#observe/log.ts';

/** What an endpoint makes of a handshake that it lets in. Exactly one of the two is called. */
export interface Admitted {
  readonly begin: (socket: WebSocket) => void;
  /** The client went away meanwhile, or its handshake is none. */
  readonly abandon: () => void;
}

/** Decides on a handshake. Throws a `CloudError`, whose status is the answer. */
export type WebSocketEndpoint = (url: URL) => Promise<Admitted>;

/** Standard code: whoever listens is going away. */
export const GOING_AWAY = 1001;

/** Bytes of one message of a client. */
const MAX_MESSAGE = 2 ** 20;
const MAX_SOCKETS = 500;
/** A peer that answers no ping for so long is gone. */
const PING_MS = 30_000;
/** One that is not read at the moment cannot be seen to answer; it is let go after so many. */
const PINGS_WHILE_PAUSED = 10;
/** At the end, clients get so long to say good-bye. */
const FAREWELL_MS = 1_000;

export class WebSockets {
  readonly #log: Log;
  readonly #endpoints = new Map<string, WebSocketEndpoint>();
  readonly #server = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE,
    // Old clients ask for `base64` as well, which nobody needs any more.
    handleProtocols: (offered) => (offered.has('binary') ? 'binary' : false),
  });
  /** Handshakes that are being decided on. */
  #deciding = 0;
  #isClosing = false;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Takes over handshakes for a path. */
  register(path: string, endpoint: WebSocketEndpoint): void {
    this.#endpoints.set(path, endpoint);
  }

  /** Whether Node should treat a request as an upgrade at all. */
  isHandshake(request: IncomingMessage): boolean {
    return (
      request.headers.upgrade?.toLowerCase() === 'websocket' && this.#endpoints.has(urlOf(request)?.pathname ?? '')
    );
  }

  listenOn(server: Server): void {
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      // Reset by the client; there is nobody to tell.
      socket.on('error', () => socket.destroy());
      void this.#upgrade(request, socket, head);
    });
  }

  /** Says good-bye to everybody and resolves when all sockets are closed. */
  async close(): Promise<void> {
    this.#isClosing = true;
    const all = [...this.#server.clients];
    const ended = all.map((each) => new Promise((resolve) => each.once('close', resolve)));
    for (const each of all) each.close(GOING_AWAY, 'The cloud is shutting down.');
    const late = setTimeout(() => {
      for (const each of all) each.terminate();
    }, FAREWELL_MS);
    await Promise.all(ended);
    clearTimeout(late);
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    let admitted: Admitted;
    this.#deciding += 1;
    try {
      admitted = await this.#decide(request);
    } catch (error) {
      refuse(socket, this.#statusOf(error));
      return;
    } finally {
      this.#deciding -= 1;
    }
    if (this.#isClosing || socket.destroyed) {
      admitted.abandon();
      socket.destroy();
      return;
    }
    let hasBegun = false;
    this.#server.handleUpgrade(request, socket, head, (webSocket) => {
      hasBegun = true;
      keepAlive(webSocket);
      // Too large a message, or no WebSocket at all: `ws` has said so to the client, and `close` follows.
      webSocket.on('error', () => undefined);
      admitted.begin(webSocket);
    });
    if (!hasBegun) admitted.abandon();
  }

  async #decide(request: IncomingMessage): Promise<Admitted> {
    const url = urlOf(request);
    const endpoint = url && this.#endpoints.get(url.pathname);
    if (!url || !endpoint) throw new CloudError('routeNotFound', {});
    if (!isSameOrigin(request)) throw new CloudError('forbidden', { reason: 'The page is of another origin.' });
    if (this.#isClosing || this.#server.clients.size + this.#deciding > MAX_SOCKETS)
      throw new CloudError('serviceUnavailable', { reason: 'There are too many connections.' });
    const begun = performance.now();
    const admitted = await endpoint(url);
    // The path alone: the query holds a secret.
    const ms = performance.now() - begun;
    logHop(this.#log, { from: 'client', to: 'micronova', what: `WebSocket ${url.pathname}`, ms });
    return admitted;
  }

  #statusOf(error: unknown): number {
    const known = CloudError.from(error);
    if (known.code === 'internal') this.#log.error({ err: known.cause }, 'WebSocket refused');
    return known.status;
  }
}

/** Null for a request line that is no URL. */
function urlOf(request: IncomingMessage): URL | null {
  return URL.parse(request.url ?? '', 'http://localhost');
}

/**
 * A browser says which page wants the connection, and any page may want one; only our own get it. Other clients say nothing.
 */
function isSameOrigin({ headers }: IncomingMessage): boolean {
  if (headers.origin === undefined) return true;
  return URL.parse(headers.origin)?.host === headers.host?.toLowerCase();
}

function refuse(socket: Duplex, status: number): void {
  socket.end(`HTTP/1.1 ${status} Refused\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy());
}

/** Notices a peer that vanished without a word. */
function keepAlive(socket: WebSocket): void {
  let unanswered = 0;
  socket.on('pong', () => {
    unanswered = 0;
  });
  const timer = setInterval(() => {
    if (unanswered > (socket.isPaused ? PINGS_WHILE_PAUSED : 0)) socket.terminate();
    else {
      unanswered += 1;
      socket.ping();
    }
  }, PING_MS);
  socket.once('close', () => clearInterval(timer));
}
