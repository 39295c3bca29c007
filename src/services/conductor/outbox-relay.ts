/**
 * Sends what the outbox holds. A message was written in the transaction that accepted an operation, so it cannot be
 * lost; it goes in the transaction in which a conductor takes the operation, and is sent again until then.
 */
import type { Client } from '#bus/rpc.ts';
import type { conductorContract } from '#contracts/conductor.ts';
import type { Database } from '#db/database.ts';
import { type OutboxMessage, waitingMessages } from '#db/repo/operations.ts';
import { currentContext, withContext } from '#observe/context.ts';
import type { Log } from '#observe/log.ts';

const LOOK_EVERY_MS = 1_000;
const BATCH = 500;
const AGAIN_AFTER_MS = 5_000;

export class OutboxRelay {
  readonly #db: Database;
  readonly #conductor: Client<typeof conductorContract>;
  readonly #log: Log;
  #running: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** When each message that still waits was sent. */
  #sent = new Map<string, number>();

  constructor(options: {
    readonly db: Database;
    readonly conductor: Client<typeof conductorContract>;
    readonly log: Log;
  }) {
    this.#db = options.db;
    this.#conductor = options.conductor;
    this.#log = options.log;
  }

  start(): void {
    this.#timer = setInterval(() => this.#wake(), LOOK_EVERY_MS);
    this.#wake();
  }

  /** Sends messages that have just been committed, without reading them back. One that is lost is found by looking. */
  announce(messages: readonly OutboxMessage[]): void {
    for (const message of messages) {
      this.#sent.set(message.operationId, Date.now());
      this.#send(message).catch((error: unknown) =>
        this.#log.warn({ err: error }, 'message not sent, it is tried again'),
      );
    }
  }

  #send({ operationId, requestId, ...message }: OutboxMessage): Promise<unknown> {
    const traceparent = message.traceparent ?? currentContext()?.traceparent;
    return withContext({ requestId, operationId, traceparent }, () => this.#conductor.operationReady({ operationId }));
  }

  #wake(): void {
    if (this.#running) return;
    this.#running = this.#drain()
      .catch((error: unknown) => this.#log.warn({ err: error }, 'outbox not sent, it is tried again'))
      .finally(() => {
        this.#running = undefined;
      });
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#running;
  }

  async #drain(): Promise<void> {
    const now = Date.now();
    const waiting = await waitingMessages(this.#db.queries, BATCH);
    const due = waiting.filter(({ operationId }) => now - (this.#sent.get(operationId) ?? 0) > AGAIN_AFTER_MS);
    for (const message of due) await this.#send(message);
    const sentNow = new Set(due.map(({ operationId }) => operationId));
    this.#sent = new Map(
      waiting.map(({ operationId }) => [
        operationId,
        sentNow.has(operationId) ? now : (this.#sent.get(operationId) ?? now),
      ]),
    );
  }
}
