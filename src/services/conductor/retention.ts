/**
 * Keeps the record from growing for ever: deleted servers and their operations are forgotten after a time, and of what living ones
 * did only the newest is kept.
 */
import type { Database } from '#db/database.ts';
import { crowdedServers, forgetConsoleTokens, forgetOperations, forgetServers } from '#db/repo/retention.ts';
import type { Log } from '#observe/log.ts';

const DAY_MS = 86_400_000;
const LOOK_EVERY_MS = 3_600_000;
/** Few enough that a pass holds nobody up. */
const BATCH = 50;
/** Operations of a living server that have ended. */
const KEEP_OPERATIONS = 500;

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
    const servers = await inBatches(() => forgetServers(this.#db, Date.now() - this.#keepMs, BATCH));
    let operations = 0;
    for (const id of await crowdedServers(this.#db, KEEP_OPERATIONS))
      operations += await inBatches(() => forgetOperations(this.#db, id, KEEP_OPERATIONS, BATCH));
    await forgetConsoleTokens(this.#db, Date.now());
    if (servers > 0) this.#log.info({ removed: servers }, 'deleted servers forgotten');
    if (operations > 0) this.#log.info({ removed: operations }, 'old operations of living servers forgotten');
  }
}

/** Each batch is a transaction of its own; answers how many there were in all. */
async function inBatches(remove: () => Promise<number>): Promise<number> {
  let removed = 0;
  for (let more = BATCH; more === BATCH; removed += more) more = await remove();
  return removed;
}
