/**
 * Sends what the outbox holds. A message was written in the transaction that accepted an operation, so it cannot be
 * lost; it may be sent twice, which its receiver expects.
 */
import type { Client } from '#bus/rpc.ts';
import type { conductorContract } from '#contracts/conductor.ts';
import type { Database } from '#db/database.ts';
import { removeMessages, waitingMessages } from '#db/repo/operations.ts';
import { withContext } from '#observe/context.ts';
import type { Log } from '#observe/log.ts';

const LOOK_EVERY_MS = 1_000;
const BATCH = 100;

export class OutboxRelay {
  readonly #db: Database;
  readonly #conductor: Client<typeof conductorContract>;
  readonly #log: Log;
  #running: Promise<void> | undefined;
  #again = false;
  #timer: NodeJS.Timeout | undefined;

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
    this.#timer = setInterval(() => this.wake(), LOOK_EVERY_MS);
    this.wake();
  }

  /** Looks now; called after a commit that wrote a message. */
  wake(): void {
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#running = this.#drain()
      .catch((error: unknown) => this.#log.warn({ err: error }, 'outbox not sent, it is tried again'))
      .finally(() => {
        this.#running = undefined;
        if (!this.#again) return;
        this.#again = false;
        this.wake();
      });
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#again = false;
    await this.#running;
  }

  async #drain(): Promise<void> {
    for (;;) {
      const messages = await waitingMessages(this.#db.queries, BATCH);
      if (messages.length === 0) return;
      for (const { operationId, requestId } of messages) {
        await withContext({ requestId, operationId }, () => this.#conductor.operationReady({ operationId }));
      }
      await removeMessages(
        this.#db.queries,
        messages.map(({ id }) => id),
      );
      if (messages.length < BATCH) return;
    }
  }
}
