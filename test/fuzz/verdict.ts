/** What must be true of every answer, whatever was asked: the errors' dialect, and what never leaves the process. */
import type { Shot } from './mutate.ts';
import type { ServiceName } from './routes.ts';
import type { Reply } from './wire.ts';
import { SECRET } from './world.ts';

/** Traces of the inside: stacks, source files, SQL, defects of JavaScript. */
const ROOT = new URL('../..', import.meta.url).pathname;
const INSIDE = [
  /\n\s+at .+:\d+:\d+/,
  /node_modules|node:internal/,
  new RegExp(ROOT.replaceAll(/[^\w/]/g, '\\$&')),
  /\/src\/\w+|\.ts:\d+/,
  /SQLITE_|UNIQUE constraint|no such (table|column)|near ".*": syntax error/,
  /\b(insert into|delete from|update "\w+" set|select .+ from) /i,
  /Cannot read propert|is not a function|is not iterable|undefined is not (an?|iterable|defined)\b|Maximum call stack|Unexpected token|Invalid URL/,
  /micronova-fuzz-/,
];

/** Where a service documents that it is busy. */
const BUSY = /Too many (passwords|uploads)/;

/** What is wrong with an answer; empty when nothing is. */
export function complaints(shot: Shot, service: ServiceName, reply: Reply): string[] {
  const { status, headers } = reply;
  const isData = headers.get('content-type') === 'application/octet-stream';
  const text = isData ? '' : reply.body.toString('utf8');
  const found: string[] = [];
  // 501 is said on purpose: nobody throws it by accident.
  if (status >= 500 && status !== 501 && !(status === 503 && BUSY.test(text))) found.push(`status ${status}`);
  const asked = `${shot.wire.target} ${shot.wire.body?.toString('utf8') ?? ''}`;
  // What the client itself said may be repeated.
  const inside = INSIDE.find((pattern) => pattern.test(text) && !pattern.test(asked));
  if (inside) found.push(`shows the inside: ${inside}`);
  if (headers.has('x-injected')) found.push('a header was injected');
  if (
    !['admin', 'neighbour'].includes(shot.who) &&
    (text.includes(SECRET) || headers.get('location')?.includes(SECRET))
  )
    if (!shot.wire.target.includes(SECRET)) found.push("shows the neighbour's secret");
  // Not the services' doing: Node refused what is not HTTP.
  if (!headers.has('x-openstack-request-id')) {
    if (!shot.isBrokenHttp && !isNodes(reply)) found.push('no request id');
    return found;
  }
  if (!/^req-[0-9a-f-]{36}$/.test(headers.get('x-openstack-request-id') ?? '')) found.push('odd request id');
  if (!/^(http:[/]+[^/]+)?[/](compute|identity|image|network)([/?#;]|$)/.test(shot.wire.target)) return found;
  if (status >= 400 && shot.wire.method !== 'HEAD' && !isFaultOf(service, reply, text))
    found.push(`not a fault of ${service}`);
  return found;
}

/** Refused by Node's parser: 400, 414, 431 and so on, without a body. */
function isNodes({ status, body }: Reply): boolean {
  return [400, 408, 413, 417, 431].includes(status) && body.length === 0;
}

function isFaultOf(service: ServiceName, { status, headers }: Reply, text: string): boolean {
  const type = headers.get('content-type') ?? '';
  const isPage = /^text\/html/.test(type) && text.includes(`<h1>${status} `);
  // No route of any service: outside of them all.
  if (isPage && (service === 'image' || status === 404)) return true;
  if (service === 'image' && status !== 401) return false;
  if (!type.startsWith('application/json')) return false;
  if (service === 'network' && status !== 401) return isNeutronFault(text);
  const body = JSON.parse(text) as Record<string, { code?: unknown; message?: unknown; title?: unknown }>;
  const [[name, fault] = ['', {}], ...rest] = Object.entries(body);
  if (rest.length > 0 || fault.code !== status || typeof fault.message !== 'string' || fault.message === '')
    return false;
  return service === 'compute' && status !== 401
    ? name !== 'error'
    : name === 'error' && typeof fault.title === 'string';
}

/** Type, message and detail, and nothing else. */
function isNeutronFault(text: string): boolean {
  const { NeutronError: fault, ...rest } = JSON.parse(text) as { NeutronError?: Record<string, unknown> };
  const { type, message, detail, ...more } = fault ?? {};
  const isWhole = typeof type === 'string' && /^[A-Z][A-Za-z]+$/.test(type) && typeof message === 'string';
  return isWhole && message !== '' && detail === '' && Object.keys({ ...rest, ...more }).length === 0;
}
