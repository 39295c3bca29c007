/**
 * Sends what the outbox holds. A message was written in the transaction that accepted an operation, so it cannot be
 * lost; it goes in the transaction in which a conductor takes the operation, and is sent again until then.
 */
import type { Client } from '#bus/rpc.ts';
import type { conductorContract } from '#contracts/conductor.ts';
import type { Database } from '#db/database.ts';
import { waitingMessages } from '#db/repo/operations.ts';
import { withContext } from '#observe/context.ts';
import type { Log } from '#observe/log.ts';

const LOOK_EVERY_MS = 1_000;
const BATCH = 500;
const AGAIN_AFTER_MS = 5_000;

export class OutboxRelay {
  readonly #db: Database;
  readonly #conductor: Client<typeof conductorContract>;
  readonly #log: Log;
  #running: Promise<void> | undefined;
  #again = false;
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
    const now = Date.now();
    const waiting = await waitingMessages(this.#db.queries, BATCH);
    const due = waiting.filter(({ operationId }) => now - (this.#sent.get(operationId) ?? 0) > AGAIN_AFTER_MS);
    for (const { operationId, requestId } of due) {
      await withContext({ requestId, operationId }, () => this.#conductor.operationReady({ operationId }));
    }
    const sentNow = new Set(due.map(({ operationId }) => operationId));
    this.#sent = new Map(
      waiting.map(({ operationId }) => [
        operationId,
        sentNow.has(operationId) ? now : (this.#sent.get(operationId) ?? now),
      ]),
    );
  }
}
