/**
 * What is to happen to servers after a time: a soft-deleted one ends for good, a shelved one leaves its host. Both are
 * operations like any other, asked for by the cloud in the name of the server's owner.
 */
import { VERSIONS } from '#contracts/operation-inputs.ts';
import type { Database } from '#db/database.ts';
import { acceptOperation } from '#db/repo/accept.ts';
import { lastFailureOf } from '#db/repo/operations.ts';
import { overdueServers } from '#db/repo/servers.ts';
import { newRequestId } from '#http/request-id.ts';
import type { Log } from '#observe/log.ts';

const LOOK_EVERY_MS = 10_000;
const BATCH = 50;
/** What could not be done is not begun again at each look. */
const AGAIN_AFTER_MS = 3_600_000;

export interface OverdueOptions {
  readonly db: Database;
  readonly log: Log;
  readonly now: () => number;
  /** After how long a soft-deleted server is deleted; 0: soft deletion is not offered, and what there is stays. */
  readonly reclaimMs: number;
  /** After how long a shelved server leaves its host; negative: never. */
  readonly offloadMs: number;
  /** Told of operations that were accepted here. */
  readonly begun: (operationId: string) => void;
}

export class Overdue {
  readonly #options: OverdueOptions;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(options: OverdueOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#running = this.look().catch((error: unknown) =>
        this.#options.log.error({ err: error }, 'overdue servers not looked at'),
      );
    }, LOOK_EVERY_MS);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#running;
  }

  /** Begins what is due now. */
  async look(): Promise<void> {
    const { now, reclaimMs, offloadMs } = this.#options;
    if (reclaimMs > 0) await this.#begin('delete', 'soft_deleted_at', now() - reclaimMs);
    if (offloadMs >= 0) await this.#begin('shelveOffload', 'shelved_at', now() - offloadMs);
  }

  async #begin(
    kind: 'delete' | 'shelveOffload',
    since: 'soft_deleted_at' | 'shelved_at',
    before: number,
  ): Promise<void> {
    const { db, log, now, begun } = this.#options;
    const vmState = kind === 'delete' ? 'soft-delete' : 'shelved';
    for (const row of await overdueServers(db.queries, { vmState, since, before, limit: BATCH })) {
      const failedAt = await lastFailureOf(db.queries, row.id, kind);
      if (failedAt !== null && now() - failedAt < AGAIN_AFTER_MS) continue;
      try {
        const wanted = { kind, version: VERSIONS[kind], input: {}, requestId: newRequestId(), userId: row.user_id };
        // Restored or unshelved meanwhile, it is not overdue any more.
        begun((await acceptOperation(db, row, wanted, now(), { ifUnchanged: true })).id);
      } catch (error) {
        log.info({ err: error, instance_id: row.id }, 'an overdue server changed meanwhile; it is looked at again');
      }
    }
  }
}
