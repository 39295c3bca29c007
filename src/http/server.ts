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
import { NO_TELEMETRY, type Telemetry } from '#observe/telemetry.ts';
import { type Aliases, aliasOf, hostOf, routedUrl, serviceAt } from './address.ts';
import { type AuthContext, type Authenticator, checkAccess } from './auth.ts';
import { answerBrokenRequest } from './broken-request.ts';
import { Connections } from './connections.ts';
import { type FaultWriter, identityFault } from './fault.ts';
import { type MicroversionRange, negotiate, versionHeaders } from './microversion.ts';
import { requestIdFrom } from './request-id.ts';
import { type Answer, type BodyWriter, type Route, schemaAt } from './route.ts';
import { beginSpan, observeRequests } from './telemetry.ts';
import { validate } from './validate.ts';
import { WebSockets } from './websocket.ts';

/** One service: where it is mounted, how it words errors, and its routes. */
export interface Service {
  /** For logs and the trace: `nova-api`. */
  readonly name: string;
  /** DevStack's path: `/compute`. Route paths are below it. */
  readonly prefix: string;
  readonly fault: FaultWriter;
  /** Only for services with microversions; `below` is the part of the paths they apply to. */
  readonly microversions?: MicroversionRange & { readonly below: string };
  /** Other spellings of its paths. */
  readonly aliases?: Aliases;
  /** A second request id header, as Nova sends `x-compute-request-id`. */
  readonly requestIdHeader?: string;
  readonly routes: readonly Route[];
  readonly log: Log;
}

export interface HttpServerOptions {
  readonly authenticate: Authenticator;
  /** Largest JSON body in bytes. */
  readonly bodyLimit?: number;
  /** Certificate (with those between it and the authority) and key, as PEM; HTTP without TLS where not given. */
  readonly tls?: Tls | undefined;
  /** At the end, requests in hand get so long to be answered; 15 s where not given. */
  readonly farewellMs?: number | undefined;
  readonly log: Log;
  readonly telemetry?: Telemetry;
}

export interface Tls {
  readonly cert: Buffer;
  readonly key: Buffer;
}

declare module 'fastify' {
  interface FastifyInstance {
    services: Service[];
    webSockets: WebSockets;
    connections: Connections;
  }
  interface FastifyRequest {
    service?: Service;
    auth?: AuthContext | null;
    version?: number;
  }
}

const JSON_TYPES = ['application/json'];
const FAREWELL_MS = 15_000;

/** Builds the server; call `listen` or `inject` on it. Closing it lets the requests in hand be answered. */
export function httpServer(options: HttpServerOptions): FastifyInstance {
  const telemetry = options.telemetry ?? NO_TELEMETRY;
  const connections = new Connections();
  const services: Service[] = [];
  const webSockets = new WebSockets(options.log);
  const begin = (request: FastifyRequest, reply: FastifyReply) => {
    const service = serviceAt(request.url, services);
    if (service) request.service = service;
    reply.header('x-openstack-request-id', request.id);
    if (service?.requestIdHeader) reply.header(service.requestIdHeader, request.id);
  };
  const upgrades = { shouldUpgradeCallback: (request: IncomingMessage) => webSockets.isHandshake(request) };
  const server: FastifyInstance = Fastify({
    http: upgrades,
    // To Fastify's types a server with TLS is of another kind; nothing that we use of it is.
    ...(options.tls && ({ https: { ...upgrades, ...options.tls } } as object)),
    rewriteUrl: (request) => routedUrl(request as IncomingMessage, services),
    // Refused before routing, so that no hook has run: a path that is not UTF-8, a parameter that is too long.
    frameworkErrors: (error, request, reply) => {
      begin(request, reply);
      sendFault(error, request, reply, options.log);
    },
    clientErrorHandler: answerBrokenRequest,
    bodyLimit: options.bodyLimit ?? 256 * 1024,
    exposeHeadRoutes: false,
    genReqId: (request: IncomingMessage) => requestIdFrom(request.headers['x-openstack-request-id']),
    requestTimeout: 0,
    // It counts the end, too, which may take as long as the requests in hand.
    pluginTimeout: 0,
    // What is left then.
    forceCloseConnections: true,
    // What comes on a connection that is open is still answered; new ones are refused.
    return503OnClosing: false,
    routerOptions: { maxParamLength: 1024 },
  });
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('*', (_request, body, done) => done(null, body));
  server.decorate('services', services);
  server.decorate('webSockets', webSockets);
  server.decorate('connections', connections);
  webSockets.listenOn(server.server);
  connections.watch(server.server);
  server.addHook('preClose', async () => {
    server.server.close();
    await Promise.all([webSockets.close(), connections.end(options.farewellMs ?? FAREWELL_MS)]);
  });
  server.decorateRequest('service', undefined);
  server.decorateRequest('auth', undefined);
  server.decorateRequest('version', undefined);
  server.addHook('onRequest', (request, reply, done) => {
    begin(request, reply);
    withContext({ requestId: request.id, traceparent: beginSpan(request, telemetry) }, done);
  });
  observeRequests(server, telemetry);
  server.setNotFoundHandler((request, reply) => {
    // Keystone answers as ever; the others leave it to their web server.
    if (request.service?.fault === identityFault) throw new CloudError('routeNotFound', {});
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
  server.services.push(service);
  const limit = options.bodyLimit ?? 256 * 1024;
  const byAddress = Map.groupBy(service.routes, (route) => `${route.method} ${route.path}`);
  for (const alternatives of byAddress.values()) {
    const [first] = alternatives;
    if (!first) continue;
    server.route({
      method: first.method,
      url: `${service.prefix}${first.path}`,
      handler: async (request, reply) => {
        const host = hostOf(request.headers.host, request.raw.socket);
        const version = versionOf(service, first.path, request, reply);
        const route = alternatives.find((each) => (each.from ?? 0) <= version && version <= (each.until ?? 9999));
        if (!route) throw new CloudError('routeNotFound', {});
        const auth = route.access === 'anyone' ? null : await authenticated(request, options.authenticate);
        checkAccess(route.access, auth);
        checkProject(request, auth);
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
          base: `${request.protocol}://${host}${service.prefix}`,
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

/** By the route's path, not the request's: the same path can be spelt in more than one way. */
function versionOf(service: Service, path: string, request: FastifyRequest, reply: FastifyReply): number {
  const range = service.microversions;
  if (!range || !path.startsWith(range.below)) return 0;
  if (aliasOf(request.raw)?.isLegacy) return range.min;
  const version = negotiate(request.headers, range);
  request.version = version;
  reply.headers(versionHeaders(version, range));
  return version;
}

/** A path may name the project, as older catalogues have it; then it must be the token's. */
function checkProject(request: FastifyRequest, auth: AuthContext | null): void {
  const named = aliasOf(request.raw)?.projectId;
  if (named === undefined || !auth || named === auth.projectId) return;
  throw new CloudError('badRequest', {
    reason: `Malformed request URL: URL's project_id '${named}' doesn't match Context's project_id '${auth.projectId}'`,
  });
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
  validate(schema, body, 'body', { ignoreUnknown: aliasOf(request.raw)?.isLegacy === true });
  return body;
}

function mediaType(request: FastifyRequest): string {
  return (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
}

async function readText(body: AsyncIterable<Buffer>, limit: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of body) {
      size += chunk.length;
      if (size > limit) throw new CloudError('tooLarge', { reason: `a JSON body may have ${limit} bytes` });
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof CloudError) throw error;
    throw new CloudError('badRequest', { reason: 'The request broke off.' }, { cause: error });
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
  if (status === 415)
    return new CloudError('unsupportedMediaType', {
      type: (request.headers['content-type'] ?? '').slice(0, 100),
      wanted: JSON_TYPES.join(', '),
    });
  if (status !== undefined && status >= 400 && status < 500)
    return new CloudError('badRequest', { reason: 'Malformed request' });
  return CloudError.from(thrown, request.id);
}
