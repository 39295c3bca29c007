/**
 * The HTTP front of every role: one Fastify instance on which services are mounted by their routes.
 *
 * A request's way is visible here and nowhere else: id → service → microversion → token → access rule → schema →
 * handler → answer or fault. Routes only ever see requests that passed all of it.
 */
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { CloudError } from '#domain/errors.ts';
import { withContext } from '#observe/context.ts';
import { type Log, logHop } from '#observe/log.ts';
import { type AuthContext, type Authenticator, checkAccess } from './auth.ts';
import type { FaultWriter } from './fault.ts';
import { type MicroversionRange, negotiate, versionHeaders } from './microversion.ts';
import { requestIdFrom } from './request-id.ts';
import { type Answer, type BodyWriter, type Route, schemaAt } from './route.ts';
import { validate } from './validate.ts';

/** One service: where it is mounted, how it words errors, and its routes. */
export interface Service {
  /** For logs and the trace: `nova-api`. */
  readonly name: string;
  /** DevStack's path: `/compute`. Route paths are below it. */
  readonly prefix: string;
  readonly fault: FaultWriter;
  /** Only for services with microversions; `below` is the part of the paths they apply to. */
  readonly microversions?: MicroversionRange & { readonly below: string };
  /** A second request id header, as Nova sends `x-compute-request-id`. */
  readonly requestIdHeader?: string;
  readonly routes: readonly Route[];
  readonly log: Log;
}

export interface HttpServerOptions {
  readonly authenticate: Authenticator;
  /** Largest JSON body in bytes. */
  readonly bodyLimit?: number;
  readonly log: Log;
}

declare module 'fastify' {
  interface FastifyRequest {
    service?: Service;
    auth?: AuthContext | null;
    version?: number;
  }
}

const JSON_TYPES = ['application/json'];

/** Builds the server; call `listen` or `inject` on it. */
export function httpServer(options: HttpServerOptions): FastifyInstance {
  const server = Fastify({
    bodyLimit: options.bodyLimit ?? 256 * 1024,
    exposeHeadRoutes: false,
    genReqId: (request: IncomingMessage) => requestIdFrom(request.headers['x-openstack-request-id']),
    requestTimeout: 0,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 1024 },
  });
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('*', (_request, body, done) => done(null, body));
  server.decorateRequest('service', undefined);
  server.decorateRequest('auth', undefined);
  server.decorateRequest('version', undefined);
  server.addHook('onRequest', (request, reply, done) => {
    reply.header('x-openstack-request-id', request.id);
    withContext({ requestId: request.id }, done);
  });
  server.setNotFoundHandler((_request, reply) => {
    reply
      .code(404)
      .header('content-type', 'text/html; charset=UTF-8')
      .send('<html><body><h1>404 Not Found</h1>The resource could not be found.</body></html>');
  });
  server.setErrorHandler((error, request, reply) => sendFault(error, request, reply, options.log));
  return server;
}

/** Adds a service's routes. Routes with the same method and path are told apart by microversion. */
export function mount(server: FastifyInstance, service: Service, options: HttpServerOptions): void {
  const limit = options.bodyLimit ?? 256 * 1024;
  const byAddress = Map.groupBy(service.routes, (route) => `${route.method} ${route.path}`);
  for (const alternatives of byAddress.values()) {
    const [first] = alternatives;
    if (!first) continue;
    server.route({
      method: first.method,
      url: `${service.prefix}${first.path}`,
      onRequest: async (request, reply) => {
        request.service = service;
        if (service.requestIdHeader) reply.header(service.requestIdHeader, request.id);
      },
      handler: async (request, reply) => {
        const version = versionOf(service, request, reply);
        const route = alternatives.find((each) => (each.from ?? 0) <= version && version <= (each.until ?? 9999));
        if (!route) throw new CloudError('routeNotFound', {});
        const auth = route.access === 'anyone' ? null : await authenticated(request, options.authenticate);
        checkAccess(route.access, auth);
        request.auth = auth;
        const body = await readBody(route, request, version, limit);
        const querySchema = schemaAt(route.query, version);
        if (querySchema) validate(querySchema, request.query, 'query');
        const begun = performance.now();
        const answer = await route.handle({
          auth,
          params: request.params as Record<string, string>,
          // Checked above against the route's own schemas, which is where the handler's types come from.
          query: request.query as never,
          body: body as never,
          version,
          requestId: request.id,
          base: `${request.protocol}://${request.host}${service.prefix}`,
          raw: request,
        });
        traceHop(service, route, request, performance.now() - begun);
        return send(route, answer, reply);
      },
    });
  }
}

/** Changes are traced, and what other services ask; a client's reading is not, since there is far more of it. */
function traceHop(service: Service, route: Route, request: FastifyRequest, ms: number): void {
  const agent = request.headers['user-agent'] ?? '';
  const from = agent.startsWith('nova-') ? agent : 'client';
  if (route.method === 'GET' && from === 'client') return;
  logHop(service.log, { from, to: service.name, what: `${route.method} ${route.path}`, ms });
}

async function authenticated(request: FastifyRequest, authenticate: Authenticator): Promise<AuthContext> {
  const token = request.headers['x-auth-token'];
  const auth = typeof token === 'string' && token !== '' ? await authenticate(token) : null;
  if (!auth) throw new CloudError('unauthorized', {});
  return auth;
}

function versionOf(service: Service, request: FastifyRequest, reply: FastifyReply): number {
  const range = service.microversions;
  if (!range || !request.url.startsWith(`${service.prefix}${range.below}`)) return 0;
  const version = negotiate(request.headers, range);
  request.version = version;
  reply.headers(versionHeaders(version, range));
  return version;
}

async function readBody(route: Route, request: FastifyRequest, version: number, limit: number): Promise<unknown> {
  if (route.consumes?.includes('application/octet-stream')) {
    const type = mediaType(request);
    if (type !== 'application/octet-stream')
      throw new CloudError('unsupportedMediaType', { type: type || 'none', wanted: 'application/octet-stream' });
    return request.body;
  }
  const schema = schemaAt(route.body, version);
  const text = request.body === undefined ? '' : await readText(request.body as AsyncIterable<Buffer>, limit);
  if (!schema) return undefined;
  if (text === '') throw new CloudError('malformedBody', {});
  const wanted = route.consumes ?? JSON_TYPES;
  const type = mediaType(request);
  if (!wanted.includes(type))
    throw new CloudError('unsupportedMediaType', { type: type || 'none', wanted: wanted.join(', ') });
  const body = parseJson(text);
  validate(schema, body, 'body');
  return body;
}

function mediaType(request: FastifyRequest): string {
  return (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
}

async function readText(body: AsyncIterable<Buffer>, limit: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > limit) throw new CloudError('tooLarge', { reason: `a JSON body may have ${limit} bytes` });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** JSON without the keys that would reach an object's prototype. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text, (key, value) => {
      if (key === '__proto__') throw new SyntaxError('forbidden key');
      return value;
    });
  } catch {
    throw new CloudError('malformedBody', {});
  }
}

function send(route: Route, answer: Answer, reply: FastifyReply): FastifyReply {
  reply.code(answer.status ?? route.success);
  if (answer.headers) reply.headers(answer.headers);
  if (answer.body === undefined) return reply.send();
  if (typeof answer.body === 'function') return sendWritten(answer.body as BodyWriter, reply);
  if (typeof answer.body === 'string' || Buffer.isBuffer(answer.body)) {
    if (!reply.hasHeader('content-type')) reply.header('content-type', 'application/json');
  }
  return reply.send(answer.body);
}

function sendWritten(write: BodyWriter, reply: FastifyReply): FastifyReply {
  reply.hijack();
  const to = reply.raw;
  to.writeHead(reply.statusCode, reply.getHeaders() as OutgoingHttpHeaders);
  write(to).then(
    () => to.end(),
    // The status is on its way; only the broken connection can still say that the body is not whole.
    (error: Error) => to.destroy(error),
  );
  return reply;
}

function sendFault(thrown: unknown, request: FastifyRequest, reply: FastifyReply, fallback: Log): void {
  const error = translate(thrown, request);
  const log = request.service?.log ?? fallback;
  if (error.status >= 500 && error.code === 'internal') log.error({ err: error.cause }, 'request failed');
  const authUrl = `${request.protocol}://${request.host}/identity`;
  const writer = request.service?.fault;
  if (error.status === 401) reply.header('www-authenticate', `Keystone uri="${authUrl}"`);
  // What the client still sends is not read, so the connection cannot be used again.
  if (error.status === 413) reply.header('connection', 'close');
  if (!writer) {
    reply.code(error.status).send({ error: { code: error.status, message: error.message } });
    return;
  }
  const { contentType, body } = writer(error, authUrl);
  reply.code(error.status).header('content-type', contentType).send(body);
}

/** Fastify's own refusals (bad URL, too large) carry a `statusCode`; they are the client's doing, not defects. */
function translate(thrown: unknown, request: FastifyRequest): CloudError {
  if (thrown instanceof CloudError) return thrown;
  const status = (thrown as { statusCode?: number }).statusCode;
  if (status === 413) return new CloudError('tooLarge', { reason: 'the body is over the limit' });
  if (status !== undefined && status >= 400 && status < 500)
    return new CloudError('badRequest', { reason: 'Malformed request' });
  return CloudError.from(thrown, request.id);
}
