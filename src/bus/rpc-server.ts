/** The answering side: hands messages to the handlers of a contract, once each, and tells those who wait. */
import type { Contract, Method } from '#contracts/contract.ts';
import { CloudError } from '#domain/errors.ts';
import { withContext } from '#observe/context.ts';
import { type Log, logHop } from '#observe/log.ts';
import type { Telemetry } from '#observe/telemetry.ts';
import { checked } from '#schema/check.ts';
import { contextOf, type Envelope, type JobProgress, type Outcome, type Reply } from './envelope.ts';
import { observedWork } from './rpc-telemetry.ts';
import { type Work, WorkMemory } from './work-memory.ts';

const PROGRESS_EVERY_MS = 200;

/** What a handler gets beside its input. */
export interface HandlerContext {
  /** Aborted when the server closes, or when a job is cancelled. */
  readonly signal: AbortSignal;
  /** Reports how far a job is; calls ignore it. */
  readonly onProgress: (progress: JobProgress) => void;
}

export type AnyHandler = (input: unknown, context: HandlerContext) => Promise<unknown>;

export interface RpcServerOptions {
  readonly contract: Contract;
  readonly handlers: Readonly<Record<string, AnyHandler>>;
  /** Who this is in the trace. */
  readonly name: string;
  readonly log: Log;
  readonly telemetry: Telemetry;
  /** Aborted when the process stops. */
  readonly closing: AbortSignal;
  /** Publishes a reply; one that is lost is asked for again. */
  readonly reply: (to: string, reply: Reply) => Promise<void>;
}

export class RpcServer {
  readonly #options: RpcServerOptions;
  readonly #memory = new WorkMemory();

  constructor(options: RpcServerOptions) {
    this.#options = options;
  }

  /** Takes one message. Rejects when it is to be delivered again. */
  async receive(message: string): Promise<void> {
    // Written by the calling side of this folder; the body is checked against the contract before it is used.
    const envelope = JSON.parse(message) as Envelope;
    if (envelope.type === 'cancel') {
      this.#memory.cancel(envelope);
      return;
    }
    if (Date.now() >= envelope.deadline) return;
    await this.#answer(envelope);
  }

  async #answer(envelope: Envelope): Promise<void> {
    const { contract, closing, reply: send } = this.#options;
    const { messageId, replyTo } = envelope;
    const work = this.#memory.join(envelope, () => this.#begin(envelope));
    if (replyTo === '') {
      const outcome = await work.result;
      // A cast has nobody to tell: failing here makes the transport deliver it again.
      if (outcome.type === 'failed') throw CloudError.fromData(outcome.error);
      return;
    }
    if (work.waiting.has(messageId) && !work.ended) return;
    work.waiting.set(messageId, replyTo);
    const reply = (body: Outcome | { readonly type: 'alive'; readonly progress: JobProgress | null }) =>
      send(replyTo, { messageId, ...body });
    if (contract.methods[envelope.method]?.kind !== 'job') {
      await reply(await work.result);
      return;
    }
    await reply({ type: 'alive', progress: work.reported.last });
    const beat = setInterval(() => void reply({ type: 'alive', progress: work.reported.last }), PROGRESS_EVERY_MS);
    const still = () => clearInterval(beat);
    // A job that hears no signal must not sound alive, nor keep the process so, once the service has ended.
    closing.addEventListener('abort', still, { once: true });
    if (closing.aborted) still();
    // Not awaited: the message is acknowledged while the job goes on.
    void work.result.then(reply).finally(() => {
      still();
      closing.removeEventListener('abort', still);
    });
  }

  #begin(envelope: Envelope): Work {
    const { contract, handlers, name, log, telemetry, closing } = this.#options;
    const description: Method | undefined = contract.methods[envelope.method];
    const handler = handlers[envelope.method];
    const abort = new AbortController();
    const reported: Work['reported'] = { last: null };
    const what = `${contract.role}.${envelope.method}`;
    const run = async () => {
      if (!description || !handler) throw new CloudError('notImplemented', { reason: `${what} is not known here.` });
      const input = checked(description.input, envelope.body, `${what} input`);
      const onProgress = (progress: JobProgress) => {
        reported.last = progress;
      };
      const output = await handler(input, { signal: AbortSignal.any([abort.signal, closing]), onProgress });
      return checked(description.output, output, `${what} output`);
    };
    const observed = () => observedWork(telemetry, { contract, method: envelope.method, name }, run);
    const begun = performance.now();
    const result: Promise<Outcome> = (
      envelope.requestId ? withContext(contextOf(envelope), observed) : observed()
    ).then(
      (output) => ({ type: 'done', output }),
      (thrown: unknown) => {
        const error = CloudError.from(thrown, envelope.requestId ?? undefined);
        if (error.code === 'internal') log.error({ err: thrown, method: what }, 'handler failed');
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
        logHop(log, { from: envelope.from, to: name, what: envelope.method, ms, ...error }),
      );
    });
    return work;
  }
}
