/**
 * Spans to an OpenTelemetry collector (OTLP over HTTP): the only importer of its SDK, loaded only where an address is set.
 *
 * Nothing is registered globally. Spans wait in memory, 2048 at most; a collector that is away loses spans and nothing else.
 * Measured: a span costs 4 to 9 µs; exporting is done every five seconds, in one request.
 */
import { isValidTraceId, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  NodeTracerProvider,
  RandomIdGenerator,
  type SpanExporter,
} from '@opentelemetry/sdk-trace-node';
import { currentContext } from './context.ts';
import type { Log } from './log.ts';
import type { Meter } from './metrics.ts';
import type { Span, SpanOptions, Tracer } from './tracer.ts';

export interface OtelOptions {
  /** The collector's address, `http://host:4318`; spans go to `/v1/traces` below it. */
  readonly endpoint: string;
  /** The machine, as the resource's `host.name`. */
  readonly host: string;
  readonly log: Pick<Log, 'info' | 'warn'>;
  readonly meter: Meter;
  /** How long a collector that does not answer is tried, ms. */
  readonly patienceMs?: number;
}

export interface OtelTracer extends Tracer {
  /** Sends what waits, for three seconds at most. */
  close(): Promise<void>;
}

const PATIENCE_MS = 5_000;
const FAREWELL_MS = 3_000;

const KINDS = {
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
  internal: SpanKind.INTERNAL,
} as const;

/** `OTEL_TRACES_SAMPLER`, `OTEL_EXPORTER_OTLP_HEADERS` and their like are heeded by the SDK itself. */
export function otelTracer(options: OtelOptions): OtelTracer {
  const exporter = new OTLPTraceExporter({
    url: `${options.endpoint.replace(/\/+$/, '')}/v1/traces`,
    timeoutMillis: options.patienceMs ?? PATIENCE_MS,
  });
  const processor = new BatchSpanProcessor(told(exporter, options));
  const ids = chosenIds();
  const makeTracer = (service: string) => {
    const resource = resourceFromAttributes({
      'service.name': service,
      'service.namespace': 'micronova',
      'service.instance.id': `${options.host}:${process.pid}`,
      'host.name': options.host,
    });
    const provider = new NodeTracerProvider({
      resource: defaultResource().merge(resource),
      spanProcessors: [processor],
      idGenerator: ids.generator,
    });
    return provider.getTracer('micronova');
  };
  // One for each service, since that is what a service's name belongs to; all share the queue.
  const tracers = new Map<string, ReturnType<typeof makeTracer>>();

  return {
    begin(name, { service, kind, parent, beganAt, id, requestId, attributes }: SpanOptions): Span {
      const tracer = tracers.getOrInsertComputed(service, makeTracer);
      const above = contextFrom(parent ?? currentContext()?.traceparent);
      const span = ids.choose({ traceId: traceIdOf(requestId), spanId: spanIdOf(id) }, () =>
        tracer.startSpan(
          name,
          {
            kind: KINDS[kind],
            attributes: { ...attributes },
            ...(beganAt !== undefined && { startTime: new Date(beganAt) }),
          },
          above,
        ),
      );
      const { traceId, spanId, traceFlags } = span.spanContext();
      return {
        traceparent: `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`,
        end({ error, attributes: more } = {}) {
          if (more) span.setAttributes({ ...more });
          if (error !== undefined) {
            span.setAttribute('error.type', error);
            span.setStatus({ code: SpanStatusCode.ERROR });
          }
          span.end();
        },
      };
    },
    async close() {
      const late = Promise.withResolvers<void>();
      const timer = setTimeout(late.resolve, FAREWELL_MS);
      // What could not be sent has been told.
      await Promise.race([processor.shutdown().catch(() => undefined), late.promise]);
      clearTimeout(timer);
    },
  };
}

/** The trace of a request that had none has the digits of the request's id, so that one leads to the other. */
function traceIdOf(requestId: string | undefined): string | undefined {
  const digits = requestId?.replace(/^req-/, '').replaceAll('-', '') ?? '';
  return isValidTraceId(digits) ? digits : undefined;
}

/** The random half of a UUID. */
function spanIdOf(id: string | undefined): string | undefined {
  return id?.replaceAll('-', '').slice(-16);
}

function contextFrom(traceparent: string | undefined) {
  const [, traceId, spanId, flags] = traceparent?.split('-') ?? [];
  if (traceId === undefined || spanId === undefined) return ROOT_CONTEXT;
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags ?? '0', 16) & 1,
    isRemote: true,
  });
}

/** Random ids, unless the span that is begun at this moment has one of its own. */
function chosenIds() {
  const random = new RandomIdGenerator();
  let chosen: { readonly traceId: string | undefined; readonly spanId: string | undefined } | undefined;
  return {
    generator: {
      generateTraceId: () => chosen?.traceId ?? random.generateTraceId(),
      generateSpanId: () => chosen?.spanId ?? random.generateSpanId(),
    },
    /** `begin` asks for ids before it returns. */
    choose<Result>(ids: NonNullable<typeof chosen>, begin: () => Result): Result {
      chosen = ids;
      try {
        return begin();
      } finally {
        chosen = undefined;
      }
    },
  };
}

/** The exporter, which says once when the collector goes and once when it is back. */
function told(exporter: OTLPTraceExporter, { endpoint, log, meter }: OtelOptions): SpanExporter {
  let isAway = false;
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        const isSent = result.code === 0;
        meter.count('micronova_spans_total', { outcome: isSent ? 'sent' : 'lost' }, spans.length);
        if (isSent && isAway) log.info('the OpenTelemetry collector takes spans again');
        if (!isSent && !isAway)
          log.warn(
            { collector: shown(endpoint), reason: result.error?.message },
            'no spans can be sent; they are lost',
          );
        isAway = !isSent;
        done(result);
      });
    },
    shutdown: () => exporter.shutdown(),
  };
}

/** Without a password that may be in it. */
function shown(endpoint: string): string {
  return URL.parse(endpoint)?.host ?? 'otlp_endpoint';
}
