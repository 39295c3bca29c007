/**
 * What is measured and traced of operations. A span of an operation is named by the operation's id and written by whoever ends
 * it: its steps are below it also when the process that ran some of them is no more.
 */
import { secondsSince } from '#observe/metrics.ts';
import type { Telemetry } from '#observe/telemetry.ts';
import { codeOf, inSpan, type Span } from '#observe/tracer.ts';
import type { Ending, LeasedOperation } from './store.ts';

export type Phase = 'do' | 'undo';

const SERVICE = 'nova-conductor';

export class RunTelemetry {
  readonly #telemetry: Telemetry;
  readonly #operation: LeasedOperation;
  readonly #span: Span;

  constructor(telemetry: Telemetry, operation: LeasedOperation) {
    this.#telemetry = telemetry;
    this.#operation = operation;
    const { id, kind, serverId, requestId, traceparent, createdAt } = operation;
    this.#span = telemetry.tracer.begin(`operation ${kind}`, {
      service: SERVICE,
      kind: 'internal',
      id,
      beganAt: createdAt,
      parent: traceparent ?? undefined,
      requestId,
      attributes: {
        'micronova.operation': kind,
        'micronova.operation_id': id,
        'micronova.instance_id': serverId,
        'micronova.request_id': requestId,
      },
    });
  }

  /** For what is done in the name of the operation. */
  get traceparent(): string | undefined {
    return this.#span.traceparent;
  }

  /** One step with all its attempts. */
  async step<Result>(step: string, phase: Phase, work: () => Promise<Result>): Promise<Result> {
    const { meter, tracer } = this.#telemetry;
    const { kind } = this.#operation;
    const attributes = { 'micronova.operation': kind, 'micronova.step': step, 'micronova.phase': phase };
    const begun = performance.now();
    try {
      const name = phase === 'do' ? step : `undo ${step}`;
      return await inSpan(tracer, name, { service: SERVICE, kind: 'internal', attributes }, work);
    } finally {
      meter.observe('micronova_step_duration_seconds', { kind, step, phase }, secondsSince(begun));
    }
  }

  failed(step: string, phase: Phase, error: unknown): void {
    const { kind } = this.#operation;
    this.#telemetry.meter.count('micronova_step_failures_total', { kind, step, phase, code: codeOf(error) });
  }

  retried(step: string, phase: Phase): void {
    this.#telemetry.meter.count('micronova_step_retries_total', { kind: this.#operation.kind, step, phase });
  }

  ended({ state, error }: Ending, now: number): void {
    const { kind, createdAt } = this.#operation;
    const seconds = Math.max(0, now - createdAt) / 1000;
    this.#telemetry.meter.observe('micronova_operation_duration_seconds', { kind, outcome: state }, seconds);
    this.#span.end({ error: error?.code, attributes: { 'micronova.outcome': state } });
  }
}
