/**
 * Calls, casts and jobs over any transport, typed from the contracts.
 *
 * Everything may come twice, late, or in another order. A server answers a repeated call or job (same key) with the work
 * in hand or the answer it gave, and a message that it has seen or that was cancelled is never new work, whenever its
 * copies come; beyond what it remembers the handlers' own idempotence holds. A client repeats what got no answer until
 * its deadline, so that a lost message or a restarted server delays work and does not lose it; then it cancels.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Contract, InputOf, Method, OutputOf } from '#contracts/contract.ts';
import { CONTRACT_VERSION, TIMEOUT_MS } from '#contracts/contract.ts';
import { CloudError } from '#domain/errors.ts';
import { currentContext } from '#observe/context.ts';
import type { Log } from '#observe/log.ts';
import { NO_TELEMETRY, type Telemetry } from '#observe/telemetry.ts';
import { checked } from '#schema/check.ts';
import { type Envelope, type JobProgress, type Reply, topicOf } from './envelope.ts';
import { callAndWait } from './rpc-call.ts';
import { type AnyHandler, type HandlerContext, RpcServer } from './rpc-server.ts';
import { observedCall } from './rpc-telemetry.ts';
import { INBOX, type Subscription, type Transport } from './transport.ts';

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

export interface RpcOptions {
  readonly transport: Transport;
  readonly log: Log;
  readonly telemetry?: Telemetry;
}

/** How long running handlers are waited for at the end. */
const HANDLERS_MS = 10_000;

export class Rpc {
  readonly #transport: Transport;
  readonly #log: Log;
  readonly #telemetry: Telemetry;
  readonly #inbox = `${INBOX}${randomUUID()}`;
  readonly #pending = new Map<string, (reply: Reply) => void>();
  #inboxSubscription: Promise<Subscription> | undefined;
  readonly #subscriptions: Subscription[] = [];
  readonly #closing = new AbortController();

  constructor(options: RpcOptions) {
    this.#transport = options.transport;
    this.#log = options.log;
    this.#telemetry = options.telemetry ?? NO_TELEMETRY;
  }

  /** Answers a contract's methods, as any process of the role or (with `host`) as that one agent. */
  async serve<C extends Contract>(
    contract: C,
    handlers: Handlers<C>,
    options: { readonly host?: string; readonly name: string; readonly log: Log },
  ): Promise<void> {
    const server = new RpcServer({
      contract,
      // Each input is checked against its method's schema, which is where the handler's type comes from.
      handlers: handlers as unknown as Readonly<Record<string, AnyHandler>>,
      name: options.name,
      log: options.log,
      telemetry: this.#telemetry,
      closing: this.#closing.signal,
      reply: (to, reply) => this.#reply(to, reply),
    });
    const topic = topicOf(contract.role, options.host);
    this.#subscriptions.push(await this.#transport.subscribe(topic, (message) => server.receive(message)));
  }

  /** A typed proxy of a role, or of one host's agent. `name` is who asks, for the trace. */
  client<C extends Contract>(contract: C, name: string, host?: string): Client<C> {
    const methods = Object.entries(contract.methods).map(([method, description]) => [
      method,
      (input: unknown, options: CallOptions = {}) =>
        observedCall(this.#telemetry, { contract, method, name, host }, () =>
          this.#ask({ contract, method, description, name, host, input }, options),
        ),
    ]);
    return Object.fromEntries(methods) as Client<C>;
  }

  async close(): Promise<void> {
    this.#closing.abort(new CloudError('serviceUnavailable', { reason: 'The service is stopping; try again.' }));
    const closed = Promise.all(this.#subscriptions.map((subscription) => subscription.close()));
    // A handler that hears no signal holds nobody up: what it did not finish is asked for again at the next start.
    await Promise.race([closed, delay(HANDLERS_MS, undefined, { ref: false })]);
    await (await this.#inboxSubscription)?.close();
  }

  async #ask({ contract, method, description, name, host, input }: Question, options: CallOptions): Promise<unknown> {
    const context = currentContext();
    const body = checked(description.input, input, `${contract.role}.${method} input`);
    const timeoutMs = options.timeoutMs ?? TIMEOUT_MS[description.timeout];
    const messageId = randomUUID();
    const envelope = (deadline: number): Envelope => ({
      type: 'request',
      messageId,
      method,
      from: name,
      replyTo: description.kind === 'cast' ? '' : this.#inbox,
      key: options.key ? `${method}:${options.key}` : messageId,
      requestId: context?.requestId ?? null,
      operationId: context?.operationId ?? null,
      step: context?.step ?? null,
      instanceId: context?.instanceId ?? null,
      traceparent: context?.traceparent,
      deadline,
      contractVersion: CONTRACT_VERSION,
      body,
    });
    const topic = topicOf(contract.role, host);
    if (description.kind === 'cast') {
      const until = Date.now() + timeoutMs;
      await this.#transport.publish(topic, JSON.stringify(envelope(until)), { until });
      return {};
    }
    await this.#inboxOpen();
    const what = `${contract.role}${host ? ` on ${host}` : ''}: ${method}`;
    const output = await callAndWait({
      envelope,
      what,
      timeoutMs,
      isJob: description.kind === 'job',
      signals: [this.#closing.signal, ...(options.signal ? [options.signal] : [])],
      onProgress: (progress) => options.onProgress?.(progress),
      publish: (message, until) => this.#transport.publish(topic, message, { until }),
      listen: (onReply) => {
        this.#pending.set(messageId, onReply);
        return () => this.#pending.delete(messageId);
      },
    });
    return checked(description.output, output, `${what} output`);
  }

  /** Subscribes to the answers, once; a subscription that failed is tried anew by the next call. */
  async #inboxOpen(): Promise<void> {
    this.#inboxSubscription ??= this.#transport.subscribe(this.#inbox, (message) => this.#receive(message));
    const subscription = this.#inboxSubscription;
    try {
      await subscription;
    } catch (error) {
      if (this.#inboxSubscription === subscription) this.#inboxSubscription = undefined;
      throw error;
    }
  }

  async #receive(message: string): Promise<void> {
    const reply = JSON.parse(message) as Reply;
    this.#pending.get(reply.messageId)?.(reply);
  }

  async #reply(to: string, reply: Reply): Promise<void> {
    try {
      await this.#transport.publish(to, JSON.stringify(reply));
    } catch (error) {
      this.#log.debug({ err: error }, 'a reply could not be sent; its caller asks again');
    }
  }
}

interface Question {
  readonly contract: Contract;
  readonly method: string;
  readonly description: Method;
  readonly name: string;
  readonly host: string | undefined;
  readonly input: unknown;
}
