/**
 * HTTP/1.1 by hand: a client that can also send what a correct one never would (headers twice, negative lengths, bodies
 * that break off), and that keeps its connections as long as the server does.
 */
import { connect, type Socket } from 'node:net';

export interface Wire {
  readonly method: string;
  /** As it goes into the request line. */
  readonly target: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body?: Buffer;
  /** How the body is sent; `length` says its length, the others are wrong on purpose. */
  readonly framing?: 'length' | 'chunked' | 'cut-length' | 'cut-chunked' | 'as-is';
}

export interface Reply {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

const TIMEOUT_MS = 20_000;

/** One connection, reopened when it was closed. Requests on it are sent one after the other. */
export class Connection {
  readonly #host: string;
  readonly #port: number;
  #socket: Socket | undefined;

  constructor(url: string) {
    const { hostname, port } = new URL(url);
    this.#host = hostname;
    this.#port = Number(port);
  }

  /** Null where the connection was closed without an answer, as a broken request may be. */
  async send(wire: Wire): Promise<Reply | null> {
    const fresh = this.#socket === undefined || this.#socket.destroyed || !this.#socket.writable;
    const reply = await this.#once(wire);
    // The server may have closed a kept connection at the very moment; only then it is tried again.
    return reply === null && !fresh && !isBroken(wire) ? this.#once(wire) : reply;
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  async #once(wire: Wire): Promise<Reply | null> {
    let socket = this.#socket;
    if (!socket || socket.destroyed || !socket.writable) {
      socket = connect(this.#port, this.#host);
      socket.setNoDelay(true);
      // Told by `close` too; while nothing is asked, nobody listens.
      socket.on('error', () => {});
      this.#socket = socket;
    }
    const reply = await exchange(socket, wire);
    if (reply === null || isBroken(wire) || reply.headers.get('connection') === 'close') this.close();
    return reply;
  }
}

function isBroken({ framing, method }: Wire): boolean {
  return method === 'CONNECT' || (framing !== undefined && framing !== 'length' && framing !== 'chunked');
}

function exchange(socket: Socket, wire: Wire): Promise<Reply | null> {
  const { promise, resolve, reject } = Promise.withResolvers<Reply | null>();
  let received: Buffer = Buffer.alloc(0);
  const onData = (chunk: Buffer) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    const reply = parse(received, wire.method, false);
    if (reply) resolve(reply);
  };
  const onEnd = () => resolve(parse(received, wire.method, true));
  const timer = setTimeout(
    () => reject(new Error(`no answer in ${TIMEOUT_MS} ms to ${describe(wire)}`)),
    wire.framing === 'as-is' ? 1000 : TIMEOUT_MS,
  );
  socket.on('data', onData).on('close', onEnd).on('end', onEnd);
  write(socket, wire);
  return promise
    .catch((error: unknown) => {
      socket.destroy();
      // With a length that promises more than was sent, waiting is right.
      if (wire.framing === 'as-is') return null;
      throw error;
    })
    .finally(() => {
      clearTimeout(timer);
      socket.off('data', onData).off('close', onEnd).off('end', onEnd);
    });
}

function write(socket: Socket, { method, target, headers, body, framing = 'length' }: Wire): void {
  const lines = [`${method} ${target} HTTP/1.1`, ...headers.map(([name, value]) => `${name}: ${value}`)];
  if (framing === 'chunked' || framing === 'cut-chunked') lines.push('transfer-encoding: chunked');
  else if (framing !== 'as-is' && body) lines.push(`content-length: ${body.length}`);
  const head = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
  const data = body ?? Buffer.alloc(0);
  if (framing === 'cut-length' || framing === 'cut-chunked') {
    const half = data.subarray(0, data.length >> 1);
    socket.write(Buffer.concat([head, framing === 'cut-chunked' ? chunked(half, false) : half]));
    // Gone in the middle of the body, once that much is on its way.
    socket.end();
  } else socket.write(Buffer.concat([head, framing === 'chunked' ? chunked(data, true) : data]));
}

function chunked(data: Buffer, whole: boolean): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < data.length; at += 1000) {
    const part = data.subarray(at, at + 1000);
    parts.push(Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n'));
  }
  return Buffer.concat([...parts, Buffer.from(whole ? '0\r\n\r\n' : '5\r\nab')]);
}

/** The answer in `bytes`, or null while it is not whole. */
function parse(bytes: Buffer, method: string, ended: boolean): Reply | null {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return null;
  const [first = '', ...rest] = bytes.toString('latin1', 0, end).split('\r\n');
  const status = Number(first.split(' ')[1]);
  if (status === 100) return parse(bytes.subarray(end + 4), method, ended);
  const headers = new Map(
    rest.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
    }),
  );
  const body = bytes.subarray(end + 4);
  if (method === 'HEAD' || status === 204 || status === 304) return { status, headers, body: Buffer.alloc(0) };
  if (headers.get('transfer-encoding') === 'chunked') {
    const whole = dechunk(body);
    return whole && { status, headers, body: whole };
  }
  const length = headers.get('content-length');
  if (length === undefined) return ended ? { status, headers, body } : null;
  return body.length >= Number(length) ? { status, headers, body: body.subarray(0, Number(length)) } : null;
}

function dechunk(bytes: Buffer): Buffer | null {
  const parts: Buffer[] = [];
  for (let at = 0; ; ) {
    const line = bytes.indexOf('\r\n', at);
    if (line < 0) return null;
    const size = Number.parseInt(bytes.toString('latin1', at, line), 16);
    if (size === 0) return Buffer.concat(parts);
    if (bytes.length < line + 4 + size) return null;
    parts.push(bytes.subarray(line + 2, line + 2 + size));
    at = line + 4 + size;
  }
}

/** The request as text, for a message: cut where it is long. */
export function describe({ method, target, headers, body, framing }: Wire): string {
  const text = body?.toString('utf8') ?? '';
  const shown = text.length > 600 ? `${text.slice(0, 600)}… (${text.length})` : text;
  const lines = headers.map(([name, value]) => `  ${name}: ${value.slice(0, 120)}`);
  return [`${method} ${target.slice(0, 400)} (${framing ?? 'length'})`, ...lines, `  ${shown}`].join('\n');
}
