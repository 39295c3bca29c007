/**
 * The side of the channel between agents that has something to give: files, piece by piece with their hashes, or streams, which
 * go both ways.
 *
 * Nobody reaches it without the key of an offer, which is made for one purpose and withdrawn with it; who has the key of one
 * offer sees nothing of another. It listens from the first offer on.
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { type FileHandle, open } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { Offer } from '#contracts/offer.ts';
import type { Log } from '#observe/log.ts';
import { joinStreams } from '../driver/join-streams.ts';
import { Bandwidth } from './bandwidth.ts';
import { CHUNK_BYTES, HASH_HEADER, KNOWN_HEADER, STREAM_PROTOCOL, TLS } from './wire.ts';

export interface ChannelServerOptions {
  /** Where it listens, which is also where the others find it. Port 0: any. */
  readonly listen: { readonly host: string; readonly port: number };
  /** The most that is given of one offer’s files in a second; 0 (default) is no limit. Streams are limited by who fills them. */
  readonly bytesPerSecond?: number;
  readonly log: Log;
}

/** Opens a stream by its name, for one connection; rejects for what there is not. */
type OpenStream = (name: string) => Promise<Duplex>;

interface Open {
  readonly key: Buffer;
  readonly gives: { readonly files: ReadonlyMap<string, string> } | { readonly open: OpenStream };
  readonly bandwidth: Bandwidth;
  /** Not running while a stream is open. */
  readonly idle: NodeJS.Timeout;
  streams: number;
}

/** An offer that nobody uses for so long is withdrawn: who made it may have died. */
const IDLE_MS = 10 * 60_000;

export class ChannelServer {
  readonly #options: ChannelServerOptions;
  readonly #offers = new Map<string, Open>();
  /** By which offer each connection was let in. */
  readonly #connections = new Map<TLSSocket, string>();
  #server: Promise<Server> | undefined;

  constructor(options: ChannelServerOptions) {
    this.#options = options;
  }

  /** Where other hosts find it, without the port. */
  get address(): string {
    return this.#options.listen.host;
  }

  /** Offers files (name → path) until withdrawn. They must not change meanwhile. */
  offer(files: ReadonlyMap<string, string>): Promise<Offer> {
    return this.#offer({ files });
  }

  /**
   * Offers streams until withdrawn: whoever asks for one by its name is joined with what `open` gives for that, for as long as
   * both have something to say.
   */
  offerStreams(open: OpenStream): Promise<Offer> {
    return this.#offer({ open });
  }

  /** Ends an offer and every connection that came by it. None: nothing. */
  withdraw(id: string): void {
    clearTimeout(this.#offers.get(id)?.idle);
    this.#offers.delete(id);
    for (const [socket, offer] of this.#connections) if (offer === id) socket.destroy();
  }

  async close(): Promise<void> {
    for (const id of this.#offers.keys()) this.withdraw(id);
    const server = await this.#server;
    if (!server) return;
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  }

  async #offer(gives: Open['gives']): Promise<Offer> {
    this.#server ??= this.#listen();
    const server = await this.#server;
    const id = randomUUID();
    const key = randomBytes(32);
    const idle = setTimeout(() => {
      if (this.#offers.get(id)?.streams === 0) this.withdraw(id);
    }, IDLE_MS).unref();
    const bandwidth = new Bandwidth(this.#options.bytesPerSecond ?? 0);
    this.#offers.set(id, { key, gives, bandwidth, idle, streams: 0 });
    const { port } = server.address() as AddressInfo;
    return { address: this.#options.listen.host, port, id, key: key.toString('base64') };
  }

  async #listen(): Promise<Server> {
    const { listen, log } = this.#options;
    const server = createServer(
      {
        ...TLS,
        allowHalfOpen: true,
        pskCallback: (socket, identity) => {
          this.#connections.set(socket, identity);
          socket.once('close', () => this.#connections.delete(socket));
          return this.#offers.get(identity)?.key ?? null;
        },
      },
      (request, response) => {
        this.#answer(request, response).catch((error: unknown) => {
          log.warn({ err: error, path: request.url }, 'a piece of a file could not be given');
          response.destroy();
        });
      },
    );
    server.on('upgrade', (request, socket, head) => {
      this.#join(request, socket as TLSSocket, head).catch((error: unknown) => {
        log.warn({ err: error, path: request.url }, 'a stream between agents broke');
      });
    });
    server.on('tlsClientError', (error) =>
      log.warn({ err: error }, 'somebody without a key came to the agents’ channel'),
    );
    server.listen(listen.port, listen.host);
    await once(server, 'listening');
    return server;
  }

  /** `GET /<name>?chunk=<number>`: 200 with the bytes, 204 for nothing but zeros, 304 for what the other has, 404 for what is not offered. */
  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const offer = this.#offerOf(request);
    const { pathname, searchParams } = new URL(request.url ?? '/', 'https://agent');
    const path = offer && 'files' in offer.gives ? offer.gives.files.get(nameIn(pathname)) : undefined;
    const chunk = Number(searchParams.get('chunk'));
    if (!offer || path === undefined || !Number.isSafeInteger(chunk) || chunk < 0) {
      response.writeHead(404).end();
      return;
    }
    offer.idle.refresh();
    const bytes = await readChunk(path, chunk);
    const hash = createHash('sha256').update(bytes).digest('hex');
    const headers = { [HASH_HEADER]: hash };
    if (request.headers[KNOWN_HEADER] === hash) response.writeHead(304, headers).end();
    else if (isZero(bytes)) response.writeHead(204, headers).end();
    else {
      await offer.bandwidth.take(bytes.length);
      response.writeHead(200, { ...headers, 'content-length': bytes.length }).end(bytes);
    }
  }

  /** `GET /<name>` with `Upgrade`: 101 and then the stream's own bytes, 404 for what is not offered, 502 for what could not be opened. */
  async #join(request: IncomingMessage, socket: TLSSocket, head: Buffer): Promise<void> {
    const id = this.#connections.get(socket) ?? '';
    const offer = this.#offers.get(id);
    socket.on('error', () => undefined); // ends the joining, if there is one
    if (!offer || !('open' in offer.gives) || request.headers.upgrade !== STREAM_PROTOCOL)
      return refuse(socket, '404 Not Found');
    offer.streams += 1;
    let stream: Duplex | undefined;
    try {
      stream = await offer.gives.open(nameIn(new URL(request.url ?? '/', 'https://agent').pathname));
      // Withdrawn, or given up, meanwhile.
      if (socket.destroyed) return;
      socket.setNoDelay(true);
      socket.setTimeout(0);
      if (head.length > 0) socket.unshift(head);
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: ${STREAM_PROTOCOL}\r\n\r\n`);
      await joinStreams(socket, stream);
    } catch (error) {
      if (!stream) refuse(socket, '502 Bad Gateway');
      throw error;
    } finally {
      stream?.destroy();
      offer.streams -= 1;
      if (this.#offers.get(id) === offer) offer.idle.refresh();
    }
  }

  #offerOf(request: IncomingMessage): Open | undefined {
    return this.#offers.get(this.#connections.get(request.socket as TLSSocket) ?? '');
  }
}

function refuse(socket: TLSSocket, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
}

function nameIn(pathname: string): string {
  return decodeURIComponent(pathname.slice(1));
}

async function readChunk(path: string, chunk: number): Promise<Buffer> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'r');
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    let length = 0;
    while (length < CHUNK_BYTES) {
      const { bytesRead } = await file.read(buffer, length, CHUNK_BYTES - length, chunk * CHUNK_BYTES + length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return buffer.subarray(0, length);
  } finally {
    await file?.close();
  }
}

const ZEROS = Buffer.alloc(CHUNK_BYTES);

function isZero(bytes: Buffer): boolean {
  return bytes.equals(ZEROS.subarray(0, bytes.length));
}
