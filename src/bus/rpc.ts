/**
 * Calls, casts and jobs over any transport, typed from the contracts.
 *
 * Everything may come twice, late, or in another order. A server answers a repeated call or job (same key) with the work
 * in hand or the answer it gave, and a message that it has seen or that was cancelled is never new work, whenever its
 * copies come; beyond what it remembers the handlers' own idempotence holds. A client repeats what got no answer until
 * its deadline, so that a lost message or a restarted server delays work and does not lose it; then it cancels.
 */
import { randomUUID } from 'node:crypto';
import type { Contract, InputOf, Method, OutputOf } from '#contracts/contract.ts';
import { CONTRACT_VERSION, TIMEOUT_MS } from '#contracts/contract.ts';
import { CloudError, type ErrorData } from '#domain/errors.ts';
import { currentContext, withContext } from '#observe/context.ts';
import { type Log, logHop } from '#observe/log.ts';
import { checked } from '#schema/check.ts';
import type { Subscription, Transport } from './transport.ts';

export interface JobProgress {
  readonly done: number;
  readonly total: number;
}

/** What a handler gets beside its input. */
export interface HandlerContext {
  /** Aborted when the server closes, or when a job is cancelled. */
  readonly signal: AbortSignal;
  /** Reports how far a job is; calls ignore it. */
  readonly onProgress: (progress: JobProgress) => void;
}

export interface CallOptions {
  /** Names the work, so that a repeat is recognised: `<operationId>/<step>`. Absent: every call is new work. */
  readonly key?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: JobProgress) => void;
  /** Overrides the method's own; for jobs: how long without a sign of life. */
  readonly timeoutMs?: number;
}

export type Handlers<C extends Contract> = {
  readonly [Name in keyof C['methods']]: (
    input: InputOf<C['methods'][Name]>,
    context: HandlerContext,
  ) => Promise<OutputOf<C['methods'][Name]>>;
};

export type Client<C extends Contract> = {
  readonly [Name in keyof C['methods']]: (
    input: InputOf<C['methods'][Name]>,
    options?: CallOptions,
  ) => Promise<OutputOf<C['methods'][Name]>>;
};

interface Envelope {
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
  /** Epoch ms after which nobody waits any more. */
  readonly deadline: number;
  readonly contractVersion: number;
  readonly body: unknown;
}

type Outcome =
  | { readonly type: 'done'; readonly output: unknown }
  | { readonly type: 'failed'; readonly error: ErrorData };

type Reply = { readonly messageId: string } & (
  | { readonly type: 'alive'; readonly progress: JobProgress | null }
  | Outcome
);

interface Work {
  readonly result: Promise<Outcome>;
  readonly abort: AbortController;
  readonly waiting: Map<string, string>;
  readonly reported: { last: JobProgress | null };
  ended: boolean;
}

/** What a server has in hand or has answered. */
interface Memory {
  readonly byKey: Map<string, Work>;
  readonly byMessage: Map<string, Work>;
}

const REMEMBERED = 2_000;
/** Answers longer than this are not kept: they are those of questions, which may be asked again. */
const REMEMBERED_CHARS = 4_000;
const REPEAT_MS = 5_000;
const PROGRESS_EVERY_MS = 200;

export interface RpcOptions {
  readonly transport: Transport;
  /** Who this process is in logs and traces, per role: `nova-conductor`. */
  readonly log: Log;
}

export class Rpc {
  readonly #transport: Transport;
  readonly #log: Log;
  readonly #inbox = `reply.${randomUUID()}`;
  readonly #pending = new Map<string, (reply: Reply) => void>();
  #inboxSubscription: Promise<Subscription> | undefined;
  readonly #subscriptions: Subscription[] = [];
  readonly #closing = new AbortController();

  constructor(options: RpcOptions) {
    this.#transport = options.transport;
    this.#log = options.log;
  }

  /** Answers a contract's methods, as any process of the role or (with `host`) as that one agent. */
  async serve<C extends Contract>(
    contract: C,
    handlers: Handlers<C>,
    options: { readonly host?: string; readonly name: string; readonly log: Log },
  ): Promise<void> {
    const memory: Memory = { byKey: new Map(), byMessage: new Map() };
    const topic = topicOf(contract.role, options.host);
    const subscription = await this.#transport.subscribe(topic, async (message) => {
      // Written by #call below and by nobody else; the body is checked against the contract next.
      const envelope = JSON.parse(message) as Envelope;
      if (envelope.type === 'cancel') {
        cancelWork(memory, envelope);
        return;
      }
      if (Date.now() > envelope.deadline) return;
      await this.#answer(contract, handlers, envelope, memory, options);
    });
    this.#subscriptions.push(subscription);
  }

  /** A typed proxy of a role, or of one host's agent. `name` is who asks, for the trace. */
  client<C extends Contract>(contract: C, name: string, host?: string): Client<C> {
    const methods = Object.entries(contract.methods).map(([method, description]) => [
      method,
      (input: unknown, options: CallOptions = {}) =>
        this.#call(contract, method, description, name, host, input, options),
    ]);
    return Object.fromEntries(methods) as Client<C>;
  }

  async close(): Promise<void> {
    this.#closing.abort(new CloudError('serviceUnavailable', { reason: 'The service is stopping; try again.' }));
    await Promise.all(this.#subscriptions.map((subscription) => subscription.close()));
    await (await this.#inboxSubscription)?.close();
  }

  async #call(
    contract: Contract,
    method: string,
    description: Method,
    from: string,
    host: string | undefined,
    input: unknown,
    options: CallOptions,
  ): Promise<unknown> {
    const context = currentContext();
    const body = checked(description.input, input, `${contract.role}.${method} input`);
    const timeoutMs = options.timeoutMs ?? TIMEOUT_MS[description.timeout];
    const messageId = randomUUID();
    // A repeat does not outlive its caller: work that begins after the caller gave up would be nobody's.
    let deadline = Date.now() + timeoutMs;
    const envelope = (): Envelope => ({
      type: 'request',
      messageId,
      method,
      from,
      replyTo: description.kind === 'cast' ? '' : this.#inbox,
      key: options.key ? `${method}:${options.key}` : messageId,
      requestId: context?.requestId ?? null,
      operationId: context?.operationId ?? null,
      step: context?.step ?? null,
      instanceId: context?.instanceId ?? null,
      deadline,
      contractVersion: CONTRACT_VERSION,
      body,
    });
    const topic = topicOf(contract.role, host);
    if (description.kind === 'cast') {
      await this.#transport.publish(topic, JSON.stringify(envelope()));
      return {};
    }
    this.#inboxSubscription ??= this.#transport.subscribe(this.#inbox, (message) => this.#receive(message));
    await this.#inboxSubscription;
    const what = `${contract.role}${host ? ` on ${host}` : ''}: ${method}`;
    return new Promise((resolve, reject) => {
      const signals = [this.#closing.signal, ...(options.signal ? [options.signal] : [])];
      const send = () => {
        this.#transport.publish(topic, JSON.stringify(envelope())).catch(() => {
          // Not held by the bus: the repeat sends it again, and the deadline ends it.
        });
      };
      const sendCancel = () => {
        const cancel = { ...envelope(), type: 'cancel' };
        this.#transport.publish(topic, JSON.stringify(cancel)).catch(() => {
          // The work goes on unasked; its deadline or the next start ends it.
        });
      };
      const silence = setTimeout(() => {
        // Calls are left to end: who tries again with the same key joins them. A job may take for ever.
        if (description.kind === 'job') sendCancel();
        finish(() => reject(new CloudError('deadlineExceeded', { what, seconds: timeoutMs / 1000 })));
      }, timeoutMs);
      const repeat = setInterval(send, REPEAT_MS);
      const onAbort = () => {
        sendCancel();
        const reason = signals.find((signal) => signal.aborted)?.reason;
        finish(() => reject(CloudError.from(reason)));
      };
      const finish = (settle: () => void) => {
        clearTimeout(silence);
        clearInterval(repeat);
        for (const signal of signals) signal.removeEventListener('abort', onAbort);
        this.#pending.delete(messageId);
        settle();
      };
      this.#pending.set(messageId, (reply) => {
        if (reply.type === 'alive') {
          silence.refresh();
          deadline = Date.now() + timeoutMs;
          if (reply.progress) options.onProgress?.(reply.progress);
        } else if (reply.type === 'failed') {
          finish(() => reject(CloudError.fromData(reply.error)));
        } else {
          finish(() => {
            try {
              resolve(checked(description.output, reply.output, `${what} output`));
            } catch (error) {
              reject(error);
            }
          });
        }
      });
      for (const signal of signals) signal.addEventListener('abort', onAbort);
      if (signals.some((signal) => signal.aborted)) onAbort();
      else send();
    });
  }

  async #receive(message: string): Promise<void> {
    const reply = JSON.parse(message) as Reply;
    this.#pending.get(reply.messageId)?.(reply);
  }

  async #answer<C extends Contract>(
    contract: C,
    handlers: Handlers<C>,
    envelope: Envelope,
    memory: Memory,
    options: { readonly name: string; readonly log: Log },
  ): Promise<void> {
    const description = contract.methods[envelope.method];
    const handler = handlers[envelope.method as keyof C['methods']];
    const { messageId, key } = envelope;
    let work = memory.byMessage.get(messageId) ?? memory.byKey.get(key);
    if (work) remember(memory.byMessage, messageId, work);
    else {
      work = this.#begin(contract, envelope, description, handler as Handler | undefined, options);
      const begun = work;
      remember(memory.byMessage, messageId, begun);
      remember(memory.byKey, key, begun);
      void begun.result.then((outcome) => {
        // A failure is not remembered by its key: asking anew is how one tries again. Nor by its message, where there
        // is nobody to tell: the transport delivers that again.
        if (outcome.type === 'failed' || key === messageId) forget(memory.byKey, key, begun);
        const isLong = outcome.type === 'done' && JSON.stringify(outcome.output).length > REMEMBERED_CHARS;
        if ((outcome.type === 'failed' && envelope.replyTo === '') || isLong)
          forget(memory.byMessage, messageId, begun);
      });
    }
    if (envelope.replyTo === '') {
      const outcome = await work.result;
      // A cast has nobody to tell: failing here makes the transport deliver it again.
      if (outcome.type === 'failed') throw CloudError.fromData(outcome.error);
      return;
    }
    if (work.waiting.has(envelope.messageId) && !work.ended) return;
    work.waiting.set(envelope.messageId, envelope.replyTo);
    const reply = (body: object) => this.#reply(envelope.replyTo, { messageId: envelope.messageId, ...body } as Reply);
    if (description?.kind !== 'job') {
      await reply(await work.result);
      return;
    }
    await reply({ type: 'alive', progress: work.reported.last });
    const finishing = work;
    const beat = setInterval(() => {
      reply({ type: 'alive', progress: finishing.reported.last }).catch(() => {
        // Lost with the connection; the next beat says it again.
      });
    }, PROGRESS_EVERY_MS);
    // Not awaited: the message is acknowledged while the job goes on.
    void work.result.then(reply).finally(() => clearInterval(beat));
  }

  #begin(
    contract: Contract,
    envelope: Envelope,
    description: Method | undefined,
    handler: Handler | undefined,
    options: { readonly name: string; readonly log: Log },
  ): Work {
    const abort = new AbortController();
    const reported: Work['reported'] = { last: null };
    const what = `${contract.role}.${envelope.method}`;
    const run = async () => {
      if (!description || !handler) throw new CloudError('notImplemented', { reason: `${what} is not known here.` });
      const input = checked(description.input, envelope.body, `${what} input`);
      const onProgress = (progress: JobProgress) => {
        reported.last = progress;
      };
      return checked(
        description.output,
        await handler(input, { signal: AbortSignal.any([abort.signal, this.#closing.signal]), onProgress }),
        `${what} output`,
      );
    };
    const inContext = () => (envelope.requestId ? withContext(contextOf(envelope), run) : run());
    const begun = performance.now();
    const result: Promise<Outcome> = inContext().then(
      (output) => ({ type: 'done', output }),
      (thrown: unknown) => {
        const error = CloudError.from(thrown, envelope.requestId ?? undefined);
        if (error.code === 'internal') options.log.error({ err: thrown, method: what }, 'handler failed');
        return { type: 'failed', error: error.toData() };
      },
    );
    const work: Work = { result, abort, waiting: new Map(), reported, ended: false };
    void result.then((outcome) => {
      work.ended = true;
      if (!envelope.requestId) return;
      const ms = performance.now() - begun;
      const error = outcome.type === 'failed' ? { error: outcome.error.message } : {};
      withContext(contextOf(envelope), () =>
        logHop(options.log, { from: envelope.from, to: options.name, what: envelope.method, ms, ...error }),
      );
    });
    return work;
  }

  async #reply(to: string, reply: Reply): Promise<void> {
    try {
      await this.#transport.publish(to, JSON.stringify(reply));
    } catch (error) {
      this.#log.debug({ err: error }, 'a reply could not be sent; its caller asks again');
    }
  }
}

type Handler = (input: unknown, context: HandlerContext) => Promise<unknown>;

function remember(works: Map<string, Work>, name: string, work: Work): void {
  works.set(name, work);
  const [oldest] = works;
  if (works.size > REMEMBERED && oldest?.[1].ended) works.delete(oldest[0]);
}

function forget(works: Map<string, Work>, name: string, work: Work): void {
  if (works.get(name) === work) works.delete(name);
}

/**
 * Ends the work that a message began or joined, when nobody else waits for it. A cancel that overtook its message is
 * kept, so that the message does not begin anything; whoever asks anew does.
 */
function cancelWork({ byKey, byMessage }: Memory, { key, messageId }: Envelope): void {
  const reason = new CloudError('cancelled', { reason: 'the caller asked for it' });
  const work = byMessage.get(messageId);
  if (!work) {
    remember(byMessage, messageId, refused(reason));
    return;
  }
  work.waiting.delete(messageId);
  if (work.ended || work.waiting.size > 0) return;
  work.abort.abort(reason);
  forget(byKey, key, work);
}

/** Work that was cancelled before it came. */
function refused(reason: CloudError): Work {
  const result = Promise.resolve<Outcome>({ type: 'failed', error: reason.toData() });
  return { result, abort: new AbortController(), waiting: new Map(), reported: { last: null }, ended: true };
}

function topicOf(role: string, host: string | undefined): string {
  return host === undefined ? role : `${role}.${host}`;
}

function contextOf(envelope: Envelope) {
  return {
    requestId: envelope.requestId ?? 'unknown',
    ...(envelope.operationId !== null && { operationId: envelope.operationId }),
    ...(envelope.instanceId !== null && { instanceId: envelope.instanceId }),
    ...(envelope.step !== null && { step: envelope.step }),
  };
}
