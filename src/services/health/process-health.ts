/**
 * The health of one process, from before it waits for anything until it has ended: the listener, and what measures and
 * traces. Nothing is loaded or kept that nobody wants to see.
 */
import type { Log } from '#observe/log.ts';
import { NO_METER } from '#observe/metrics.ts';
import type { Telemetry } from '#observe/telemetry.ts';
import { NO_TRACER } from '#observe/tracer.ts';
import type { HealthListener } from './health-listener.ts';
import type { Readiness } from './readiness.ts';

export interface ProcessHealthOptions {
  /** Null: nobody watches. */
  readonly listen: { readonly host: string; readonly port: number } | null;
  /** The OpenTelemetry collector; empty: none. */
  readonly otlpEndpoint: string;
  readonly host: string;
  /** Knows by now what is not there yet. */
  readonly readiness: Readiness;
  readonly log: Log;
}

export interface ProcessHealth extends AsyncDisposable {
  readonly telemetry: Telemetry;
  /** `http://host:port`; null where nobody watches. */
  readonly url: string | null;
}

/** Throws when the address of the listener is taken. */
export async function openHealth(options: ProcessHealthOptions): Promise<ProcessHealth> {
  const { listen, otlpEndpoint, host, readiness, log } = options;
  const metrics = listen ? (await import('#observe/prometheus.ts')).prometheus(log) : null;
  const meter = metrics ?? NO_METER;
  meter.gauges(async () => {
    const { parts } = await readiness.look();
    return parts.map(({ part, ready }) => ({ name: 'micronova_ready', labels: { part }, value: ready ? 1 : 0 }));
  });
  let listener: HealthListener | null = null;
  if (listen && metrics) {
    const { listenForHealth } = await import('./health-listener.ts');
    listener = await listenForHealth({ listen, readiness, metrics });
  }
  const tracer = otlpEndpoint
    ? (await import('#observe/otel.ts')).otelTracer({ endpoint: otlpEndpoint, host, log, meter })
    : null;
  return {
    telemetry: { meter, tracer: tracer ?? NO_TRACER },
    url: listener?.url ?? null,
    async [Symbol.asyncDispose]() {
      await tracer?.close();
      await listener?.close();
    },
  };
}
