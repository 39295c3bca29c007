/**
 * What is measured and traced of requests: hooks on the server, so that routes know nothing of it.
 *
 * Cost: one observation and one span per request, some 5 to 10 µs with both; without, calls of empty functions.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Telemetry } from '#observe/telemetry.ts';
import type { Span } from '#observe/tracer.ts';

declare module 'fastify' {
  interface FastifyRequest {
    span?: Span;
  }
}

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']);
/** W3C trace context, version 00; anything else begins a trace of its own. */
const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;
const UNROUTED = 'none';

/** Adds the hooks. They come after the one that gives the request its service. */
export function observeRequests(server: FastifyInstance, { meter }: Telemetry): void {
  server.addHook('onResponse', (request, reply, done) => {
    const method = methodOf(request);
    const route = routeOf(request);
    const status = `${Math.floor(reply.statusCode / 100)}xx`;
    const service = request.service?.name ?? 'micronova';
    meter.observe(
      'micronova_http_request_duration_seconds',
      { service, method, route, status },
      reply.elapsedTime / 1000,
    );
    request.span?.end({
      attributes: { 'http.response.status_code': reply.statusCode },
      ...(reply.statusCode >= 500 && { error: `${reply.statusCode}` }),
    });
    done();
  });
}

/** Begins the request's span, below the client's own if it says one; answers what happens below it. */
export function beginSpan(request: FastifyRequest, { tracer }: Telemetry): string | undefined {
  const route = routeOf(request);
  // Probes come every second for ever.
  if (route.endsWith('/healthcheck')) return undefined;
  const given = request.headers.traceparent;
  request.span = tracer.begin(`${methodOf(request)} ${route}`, {
    service: request.service?.name ?? 'micronova',
    kind: 'server',
    parent: typeof given === 'string' && TRACEPARENT.test(given) ? given : undefined,
    requestId: request.id,
    attributes: { 'http.request.method': methodOf(request), 'http.route': route, 'micronova.request_id': request.id },
  });
  return request.span.traceparent;
}

function methodOf({ method }: FastifyRequest): string {
  return METHODS.has(method) ? method : 'other';
}

/** The template, which has no ids in it. */
function routeOf(request: FastifyRequest): string {
  return request.routeOptions.url ?? UNROUTED;
}
