/** Where the broker is and how one gets in: from a URL and the files of the certificates. */
import { readFileSync } from 'node:fs';
import type { Options, SocketOptions } from 'amqplib';
import { CloudError } from '#domain/errors.ts';

export interface AddressOptions {
  /** `amqp://user:password@host:port/vhost`, or `amqps://…`. */
  readonly url: string;
  /** PEM files: whom to believe, and who this is. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

export interface Address {
  /** `RabbitMQ at host:port`, fit for a log. */
  readonly shown: string;
  readonly connect: Options.Connect;
  readonly socket: SocketOptions;
  /** A failure to connect in words, never with the password. */
  explain(error: unknown): string;
}

/** Silence for twice so long is a lost connection. */
const HEARTBEAT_SECONDS = 15;
const CONNECT_MS = 10_000;

/** Throws `badRequest`, without the URL, when that is none, or a file cannot be read. */
export function addressOf({ url, ca, cert, key }: AddressOptions): Address {
  if (!URL.canParse(url)) throw wrong('is no URL; it looks like amqp://user:password@host:5672/vhost');
  const parts = new URL(url);
  const protocol = parts.protocol.slice(0, -1);
  if (protocol !== 'amqp' && protocol !== 'amqps') throw wrong(`begins with ${protocol}, not with amqp or amqps`);
  if (protocol === 'amqp' && (ca || cert || key)) throw wrong('begins with amqp, which has no certificates; use amqps');
  const hostname = parts.hostname.replace(/^\[|\]$/g, '') || 'localhost';
  const port = Number(parts.port) || (protocol === 'amqp' ? 5672 : 5671);
  const username = decodeURIComponent(parts.username) || 'guest';
  const password = decodeURIComponent(parts.password) || (parts.username ? '' : 'guest');
  const shown = `RabbitMQ at ${hostname.includes(':') ? `[${hostname}]` : hostname}:${port}`;
  return {
    shown,
    // amqplib decodes the virtual host itself.
    connect: {
      protocol,
      hostname,
      port,
      username,
      password,
      vhost: parts.pathname.slice(1) || '/',
      heartbeat: HEARTBEAT_SECONDS,
    },
    // Without noDelay each answer waits some 20 ms for a packet that never comes.
    socket: { noDelay: true, timeout: CONNECT_MS, ...pem('ca', ca), ...pem('cert', cert), ...pem('key', key) },
    explain(error) {
      const text = textOf(error);
      const why = /ACCESS_REFUSED|ACCESS-REFUSED/.test(text)
        ? `${shown} refuses the user ${username}: wrong name or password`
        : `${shown} is not reachable: ${text}`;
      return password.length > 3 ? why.replaceAll(password, '***') : why;
    },
  };
}

function pem(name: 'ca' | 'cert' | 'key', path: string | undefined): object {
  if (!path) return {};
  try {
    return { [name]: readFileSync(path) };
  } catch (error) {
    throw new CloudError('badRequest', { reason: `bus_${name}: ${(error as Error).message}` }, { cause: error });
  }
}

function wrong(what: string): CloudError {
  return new CloudError('badRequest', { reason: `bus: the address ${what}` });
}

/** Node tells of several addresses tried in vain by an error without a text. */
function textOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return textOf(error.errors[0]);
  if (!(error instanceof Error)) return String(error);
  // OpenSSL's own text has an address in it, which is another one each time.
  const { reason, code } = error as NodeJS.ErrnoException & { readonly reason?: unknown };
  if (/:SSL routines:/.test(error.message) && typeof reason === 'string') return reason;
  return error.message.trim() || code || error.name;
}
