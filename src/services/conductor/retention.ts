/** Keeps the record from growing for ever: deleted servers and their operations are forgotten after a time. */
import type { Database } from '#db/database.ts';
import { forgetServers } from '#db/repo/retention.ts';
import type { Log } from '#observe/log.ts';

const DAY_MS = 86_400_000;
const LOOK_EVERY_MS = 3_600_000;
/** Few enough that a pass holds nobody up. */
const BATCH = 50;

export class Retention {
  readonly #db: Database;
  readonly #log: Log;
  readonly #keepMs: number;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(options: { readonly db: Database; readonly log: Log; readonly keepDays: number }) {
    this.#db = options.db;
    this.#log = options.log;
    this.#keepMs = options.keepDays * DAY_MS;
  }

  start(): void {
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS);
    this.#look();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#running;
  }

  #look(): void {
    this.#running = this.#forget().catch((error: unknown) =>
      this.#log.error({ err: error }, 'old records not removed'),
    );
  }

  async #forget(): Promise<void> {
    let removed = 0;
    for (let more = BATCH; more === BATCH; removed += more)
      more = await forgetServers(this.#db, Date.now() - this.#keepMs, BATCH);
    if (removed > 0) this.#log.info({ removed }, 'deleted servers forgotten');
  }
}
