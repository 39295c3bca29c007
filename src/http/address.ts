/**
 * What a request line and a Host header may look like, turned into the one form that routes know.
 *
 * Routing, version negotiation and links all start from here, so that no spelling of a path (absolute, percent-encoded,
 * with a project's id in it) gets past one of them.
 */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { CloudError } from '#domain/errors.ts';

/** Another spelling of a service's paths, for older clients. */
export interface Alias {
  /** The path that is meant, below the service's prefix. */
  readonly path: string;
  /** The project that the path names; the token must be for it. */
  readonly projectId?: string;
  /** An API without microversions, which ignores what it does not know. */
  readonly isLegacy?: true;
}

/** Answers null for a path that is no alias. Paths are below the service's prefix and hold no query. */
export type Aliases = (path: string) => Alias | null;

export interface AliasedService {
  readonly prefix: string;
  readonly aliases?: Aliases;
}

const aliases = new WeakMap<IncomingMessage, Alias>();

/** The alias by which the request was addressed, if it was. */
export function aliasOf(request: IncomingMessage): Alias | undefined {
  return aliases.get(request);
}

/** The URL to route by: a path, of no alias. */
export function routedUrl(request: IncomingMessage, services: readonly AliasedService[]): string {
  // A request line may hold a whole URL (RFC 9112, absolute-form).
  const url = (request.url ?? '/').replace(/^https?:\/\/[^/?#]*/i, '');
  const end = url.search(/[?#]/);
  const path = end < 0 ? url : url.slice(0, end);
  const service = serviceAt(path, services);
  const alias = service?.aliases?.(path.slice(service.prefix.length));
  if (!service || !alias) return url === '' ? '/' : url;
  aliases.set(request, alias);
  return service.prefix + alias.path + (end < 0 ? '' : url.slice(end));
}

/** The service that a path belongs to, routed or not. */
export function serviceAt<Service extends AliasedService>(
  path: string,
  services: readonly Service[],
): Service | undefined {
  return services.find(
    ({ prefix }) => path.startsWith(prefix) && /^([/?#]|$)/.test(path.slice(prefix.length, prefix.length + 1)),
  );
}

const HOST = /^([\w.-]{1,255}|\[[0-9a-fA-F:.]{2,45}\])(:\d{1,5})?$/;

/** What links begin with: the address that the client used. Throws 400 for a Host that is none. */
export function hostOf(
  header: string | undefined,
  socket: Partial<Pick<Socket, 'localAddress' | 'localPort'>>,
): string {
  // HTTP/1.0 need not say it.
  if (header === undefined || header === '') return `${socket.localAddress ?? 'localhost'}:${socket.localPort ?? 80}`;
  if (!HOST.test(header)) throw new CloudError('badRequest', { reason: 'Malformed Host header' });
  return header;
}
