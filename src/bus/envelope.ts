/** What calls, casts and jobs look like on the wire. Written and read by this folder only. */
import type { ErrorData } from '#domain/errors.ts';
import type { RequestContext } from '#observe/context.ts';

export interface JobProgress {
  readonly done: number;
  readonly total: number;
}

export interface Envelope {
  readonly type: 'request' | 'cancel';
  readonly messageId: string;
  readonly method: string;
  readonly from: string;
  readonly replyTo: string;
  readonly key: string;
  readonly requestId: string | null;
  readonly operationId: string | null;
  readonly step: string | null;
  readonly instanceId: string | null;
  /** W3C: the span of the one who asks. Absent where there is none, and from processes that know no traces. */
  readonly traceparent?: string | undefined;
  /** Epoch ms after which nobody waits any more. */
  readonly deadline: number;
  readonly contractVersion: number;
  readonly body: unknown;
}

export type Outcome =
  | { readonly type: 'done'; readonly output: unknown }
  | { readonly type: 'failed'; readonly error: ErrorData };

export type Reply = { readonly messageId: string } & (
  | { readonly type: 'alive'; readonly progress: JobProgress | null }
  | Outcome
);

/** A role's queue, or that of one host's agent. */
export function topicOf(role: string, host: string | undefined): string {
  return host === undefined ? role : `${role}.${host}`;
}

/** The ids under which the receiver works. */
export function contextOf(envelope: Envelope): RequestContext {
  return {
    requestId: envelope.requestId ?? 'unknown',
    ...(envelope.operationId !== null && { operationId: envelope.operationId }),
    ...(envelope.instanceId !== null && { instanceId: envelope.instanceId }),
    ...(envelope.step !== null && { step: envelope.step }),
    ...(envelope.traceparent !== undefined && { traceparent: envelope.traceparent }),
  };
}
