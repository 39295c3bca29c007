/**
 * Spans, as the layers see them: begun under the span of whoever asked, ended once. What exports them is `otel.ts`; without it
 * nothing is recorded, and what a client sent is passed on all the same.
 *
 * The parent travels in the request's context (`context.ts`) as a W3C `traceparent`, so there is nothing to hand around.
 * Attributes are ids, names from our own tables, and codes: no text, name or address that a user gave.
 */
import { currentContext, withContext } from './context.ts';

export type Attributes = Readonly<Record<string, string | number | undefined>>;

export interface SpanOptions {
  /** In whose lane it is drawn: `nova-api`. */
  readonly service: string;
  readonly kind: 'server' | 'client' | 'producer' | 'consumer' | 'internal';
  /** Instead of the running one: what came over the wire. */
  readonly parent?: string | undefined;
  /** Epoch ms, where it began before now. */
  readonly beganAt?: number;
  /** A UUID that names this span, so that whoever goes on with the work can put others below it. */
  readonly id?: string;
  /** Without a parent, names the trace: its id is the request id's hexadecimal digits. */
  readonly requestId?: string | undefined;
  readonly attributes?: Attributes;
}

export interface Span {
  /** For what happens below it, here or elsewhere. Undefined: there is no trace. */
  readonly traceparent: string | undefined;
  /** `error`: a code of the catalogue. Only the first call counts. */
  end(result?: { readonly error?: string | undefined; readonly attributes?: Attributes }): void;
}

export interface Tracer {
  begin(name: string, options: SpanOptions): Span;
}

export const NO_TRACER: Tracer = {
  begin: (_name, { parent }) => ({ traceparent: parent ?? currentContext()?.traceparent, end: () => {} }),
};

/** Runs `work` in a span below the running one. Outside a request there is none: nobody asked for what happens there. */
export async function inSpan<Result>(
  tracer: Tracer,
  name: string,
  options: SpanOptions,
  work: () => Promise<Result>,
): Promise<Result> {
  const context = currentContext();
  if (!context) return work();
  const span = tracer.begin(name, { requestId: context.requestId, ...options });
  try {
    const result = await withContext({ ...context, traceparent: span.traceparent }, work);
    span.end();
    return result;
  } catch (error) {
    span.end({ error: codeOf(error) });
    throw error;
  }
}

/** The catalogue's code of an error; messages may hold what a user wrote. */
export function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : 'internal';
}
