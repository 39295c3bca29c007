/**
 * The metadata service of a host: answers its guests at 169.254.169.254. Who asks is known from the port that the question came through;
 * what the question says of itself counts for nothing.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Server as Listener } from 'node:net';
import type { GuestFacts } from '#domain/metadata/facts.ts';
import { metadataAt } from '#domain/metadata/tree.ts';
import type { Log } from '#observe/log.ts';

/** A guest asks some twenty times while it boots. */
const KEEP_MS = 5_000;
const MAX_KEPT = 1_000;
/** Guests are hostile: they get no more than this of the host. */
const MAX_CONNECTIONS = 200;
const TIMEOUT_MS = 10_000;

export interface MetadataServerOptions {
  /** The port that speaks from an address; null: nobody's. */
  readonly identityOf: (address: string) => string | null;
  /** Facts of the server that has the port on this host; null where there is none. */
  readonly factsOf: (portId: string) => Promise<GuestFacts | null>;
  readonly now?: () => number;
  readonly log: Log;
}

export class MetadataServer {
  readonly #options: MetadataServerOptions;
  readonly #server: Server;
  readonly #known = new Map<string, { readonly facts: Promise<GuestFacts | null>; readonly until: number }>();

  constructor(options: MetadataServerOptions) {
    this.#options = options;
    this.#server = createServer({ requestTimeout: TIMEOUT_MS, maxHeaderSize: 16_384 }, (request, response) => {
      this.#answer(request, response).catch((error: unknown) => {
        options.log.warn({ err: error }, 'metadata not answered');
        if (!response.headersSent) response.writeHead(500).end();
        else response.destroy();
      });
    });
    this.#server.maxConnections = MAX_CONNECTIONS;
  }

  /** Answers what comes to `listener`, which listens already. */
  serve(listener: Listener): void {
    this.#server.listen(listener);
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== 'GET' && request.method !== 'HEAD') return void response.writeHead(405).end();
    const address = (request.socket.remoteAddress ?? '').replace(/^::ffff:/, '');
    const portId = this.#options.identityOf(address);
    const facts = portId === null ? null : await this.#facts(portId);
    const [path = '/'] = (request.url ?? '/').split('?');
    const answer = facts && metadataAt(facts, path);
    if (!answer) return void response.writeHead(404, { 'content-type': 'text/plain' }).end('404 Not Found\n');
    response.writeHead(200, { 'content-type': answer.type, 'content-length': answer.body.length });
    response.end(request.method === 'HEAD' ? undefined : answer.body);
  }

  #facts(portId: string): Promise<GuestFacts | null> {
    const now = (this.#options.now ?? Date.now)();
    const known = this.#known.get(portId);
    if (known && known.until > now) return known.facts;
    const facts = this.#options.factsOf(portId);
    // What failed is asked for again.
    facts.catch(() => this.#known.delete(portId));
    this.#known.delete(portId);
    this.#known.set(portId, { facts, until: now + KEEP_MS });
    const [oldest] = this.#known.keys();
    if (this.#known.size > MAX_KEPT && oldest !== undefined) this.#known.delete(oldest);
    return facts;
  }
}
