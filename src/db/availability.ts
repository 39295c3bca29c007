/** Whether the database answers: told to the log when that changes, not for each who asks. */
import { setTimeout as delay } from 'node:timers/promises';
import { CloudError } from '#domain/errors.ts';
import type { Log } from '#observe/log.ts';

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;

export class Availability {
  readonly #log: Pick<Log, 'info' | 'warn'> | undefined;
  #isAway = false;

  constructor(log?: Pick<Log, 'info' | 'warn'>) {
    this.#log = log;
  }

  /** Something was answered. */
  works(): void {
    if (!this.#isAway) return;
    this.#isAway = false;
    this.#log?.info('the database answers again');
  }

  /** Answers the error that it was given, having looked at it. */
  heed(error: unknown): unknown {
    if (isUnavailable(error) && !this.#isAway) {
      this.#isAway = true;
      this.#log?.warn({ reason: error.params.reason }, 'the database does not answer; it is tried again');
    }
    return error;
  }

  /** Does `work` again until the database answers, with growing pauses. Throws what it threw last when that took too long. */
  async wait<Result>(limitMs: number, work: () => Promise<Result>): Promise<Result> {
    const until = performance.now() + limitMs;
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      try {
        return await work();
      } catch (error) {
        if (!isUnavailable(error) || performance.now() + pause > until) throw error;
        await delay(pause);
      }
    }
  }
}

function isUnavailable(error: unknown): error is CloudError {
  return error instanceof CloudError && error.code === 'databaseUnavailable';
}
