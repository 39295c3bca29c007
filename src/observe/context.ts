/**
 * Who asked: the ids that every log line, message and hypervisor command of one request carries.
 *
 * They travel with the asynchronous call (AsyncLocalStorage), so that no function takes a request id as a parameter.
 */
import { AsyncLocalStorage } from 'node:async_hooks';

export interface RequestContext {
  /** `req-<uuid>`: one id from the client to QMP. */
  readonly requestId: string;
  readonly operationId?: string;
  readonly instanceId?: string;
  readonly step?: string;
  /** W3C: the span that this is part of. */
  readonly traceparent?: string | undefined;
}

const storage = new AsyncLocalStorage<RequestContext>();

/** The ids of the running request, or undefined outside one (start-up, timers). */
export function currentContext(): RequestContext | undefined {
  return storage.getStore();
}

/** Runs `work` with these ids; nested calls replace them. */
export function withContext<Result>(context: RequestContext, work: () => Result): Result {
  return storage.run(context, work);
}
