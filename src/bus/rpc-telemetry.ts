/**
 * What is measured and traced of calls, casts and jobs, on both sides. A span only where there is a request: heartbeats and
 * reports are nobody's trace.
 */
import type { Contract } from '#contracts/contract.ts';
import type { HistogramName } from '#observe/metrics.ts';
import { secondsSince } from '#observe/metrics.ts';
import type { Telemetry } from '#observe/telemetry.ts';
import { codeOf, inSpan, type SpanOptions } from '#observe/tracer.ts';

interface Asked {
  readonly contract: Contract;
  readonly method: string;
  /** Who asks, or who answers: `nova-conductor`. */
  readonly name: string;
  readonly host?: string | undefined;
}

/** The asking side: until the answer is there; for casts until the bus has it, which is no duration of anything. */
export function observedCall<Result>(telemetry: Telemetry, asked: Asked, work: () => Promise<Result>): Promise<Result> {
  const isCast = kindOf(asked) === 'cast';
  const metric = isCast ? null : 'micronova_rpc_call_duration_seconds';
  return observed(telemetry, asked, metric, isCast ? 'producer' : 'client', work);
}

/** The answering side: each piece of work once, however often it is asked for. */
export function observedWork<Result>(telemetry: Telemetry, asked: Asked, work: () => Promise<Result>): Promise<Result> {
  const kind = kindOf(asked) === 'cast' ? 'consumer' : 'server';
  return observed(telemetry, asked, 'micronova_rpc_handler_duration_seconds', kind, work);
}

/** Undefined for a method that only the other side knows. */
function kindOf({ contract, method }: Asked): string | undefined {
  return contract.methods[method]?.kind;
}

async function observed<Result>(
  { meter, tracer }: Telemetry,
  asked: Asked,
  metric: (HistogramName & `micronova_rpc_${string}`) | null,
  kind: SpanOptions['kind'],
  work: () => Promise<Result>,
): Promise<Result> {
  const { role } = asked.contract;
  const method = kindOf(asked) === undefined ? 'unknown' : asked.method;
  const attributes = {
    'rpc.system': 'micronova',
    'rpc.service': role,
    'rpc.method': method,
    'micronova.host': asked.host,
  };
  const begun = performance.now();
  const measure = (outcome: string) => {
    if (metric) meter.observe(metric, { role, method, outcome }, secondsSince(begun));
  };
  try {
    const result = await inSpan(tracer, `${role}.${method}`, { service: asked.name, kind, attributes }, work);
    measure('ok');
    return result;
  } catch (error) {
    measure(codeOf(error));
    throw error;
  }
}
