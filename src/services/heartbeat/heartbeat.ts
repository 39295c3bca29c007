/** Writes down now and then that a process of a role lives, so that operators see it beside the compute hosts. */
import type { Database } from '#db/database.ts';
import { beatService } from '#db/repo/services.ts';
import type { ServiceRow } from '#db/tables/operating.ts';
import type { Log } from '#observe/log.ts';

/** Nova's `report_interval`. */
const BEAT_EVERY_MS = 10_000;

export interface HeartbeatOptions {
  readonly db: Database;
  readonly log: Log;
  readonly roles: readonly ServiceRow['role'][];
  /** The machine that the process runs on. */
  readonly host: string;
  readonly now?: () => number;
}

export class Heartbeat {
  readonly #options: HeartbeatOptions;
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<void> = Promise.resolve();

  constructor(options: HeartbeatOptions) {
    this.#options = options;
  }

  /** Resolves after the first beat. A beat that fails is only logged: the next one comes. */
  async start(): Promise<void> {
    this.#timer = setInterval(() => this.#beat(), BEAT_EVERY_MS);
    this.#beat();
    await this.#beating;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#beating;
  }

  #beat(): void {
    const { db, log, roles, host, now = Date.now } = this.#options;
    const written = db.commit(async (trx) => {
      for (const role of roles) await beatService(trx, { role, host }, now());
    });
    this.#beating = written.catch((error: unknown) => log.warn({ err: error }, 'heartbeat not written'));
  }
}
