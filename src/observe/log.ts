/**
 * Structured logs: JSON lines, one file per service as in OpenStack (`nova-api.log`, `nova-compute.log`, …).
 *
 * Messages are constants and values are fields. Every line carries the ids of the request that caused it. Secrets are
 * never given to a logger; known names are redacted all the same.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import pino from 'pino';
import { currentContext } from './context.ts';
import { rotatingFile } from './rotating-file.ts';

/** The services that write logs, named as the tutorial's files are. */
export const SERVICES = [
  'keystone',
  'glance-api',
  'neutron',
  'nova-api',
  'nova-conductor',
  'nova-scheduler',
  'nova-compute',
  'micronova',
] as const;
export type ServiceName = (typeof SERVICES)[number];

export type Log = pino.Logger;

export interface LogOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  /** A folder: one file per service. `stderr`: one stream. */
  readonly to: { readonly dir: string } | 'stderr';
}

/** Everything that a trace of a request is drawn from: one arrow between two parties. */
export interface Hop {
  readonly from: string;
  readonly to: string;
  readonly what: string;
  /** How long the answer took, in ms, where there was one. */
  readonly ms?: number;
  readonly error?: string;
}

export interface Logs {
  of(service: ServiceName): Log;
  /** Writes out what is buffered; called before the process ends. */
  flush(): void;
}

const REDACTED = [
  'password',
  'adminPass',
  'admin_pass',
  'token',
  'secret',
  'privateKey',
  '*.password',
  '*.adminPass',
  '*.token',
  '*.secret',
];

export function openLogs(options: LogOptions): Logs {
  const destinations: { flushSync(): void }[] = [];
  const shared = options.to === 'stderr' ? pino.destination({ dest: 2, sync: false }) : undefined;
  if (options.to !== 'stderr') mkdirSync(options.to.dir, { recursive: true, mode: 0o700 });
  const loggers = new Map<ServiceName, Log>();
  return {
    of(service) {
      const known = loggers.get(service);
      if (known) return known;
      const stream = shared ?? rotatingFile(join((options.to as { dir: string }).dir, `${service}.log`));
      destinations.push(stream);
      const log = pino(
        {
          level: options.level,
          base: { service },
          timestamp: pino.stdTimeFunctions.isoTime,
          formatters: { level: (label) => ({ level: label }) },
          redact: { paths: REDACTED, censor: '***' },
          mixin: contextFields,
        },
        stream,
      );
      loggers.set(service, log);
      return log;
    },
    flush() {
      for (const destination of destinations) destination.flushSync();
    },
  };
}

/** Writes one arrow of the trace. */
export function logHop(log: Log, hop: Hop): void {
  log.info({ hop }, 'hop');
}

function contextFields(): object {
  const context = currentContext();
  if (!context) return {};
  return {
    request_id: context.requestId,
    ...(context.operationId && { operation_id: context.operationId }),
    ...(context.instanceId && { instance_id: context.instanceId }),
    ...(context.step && { step: context.step }),
    ...(context.traceparent && { trace_id: context.traceparent.split('-')[1] }),
  };
}
