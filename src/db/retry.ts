/** Doing something again that was given up for the sake of others who did the same at the same time. */
import { setTimeout as delay } from 'node:timers/promises';
import { CloudError } from '#domain/errors.ts';

/** Of many who meet one always gets through, so this is far more than those who ever meet. */
const ATTEMPTS = 20;
const FIRST_PAUSE_MS = 2;
const LONGEST_PAUSE_MS = 200;

export interface RetryOptions {
  /** Whether an error is one after which trying again may help. */
  readonly again: (error: unknown) => boolean;
  /** Told before each attempt after the first. */
  readonly onRetry?: (() => void) | undefined;
  /** Replaced in tests. */
  readonly pause?: (ms: number) => Promise<unknown>;
}

/**
 * Answers what `attempt` answers at last; throws `databaseUnavailable` when it was in vain many times. The pauses are random,
 * since two that met and wait the same time meet again.
 */
export async function retried<Result>(attempt: () => Promise<Result>, options: RetryOptions): Promise<Result> {
  const pause = options.pause ?? delay;
  for (let tries = 1; ; tries += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (!options.again(error)) throw error;
      if (tries === ATTEMPTS)
        throw new CloudError('databaseUnavailable', { reason: 'too many change the same at once' }, { cause: error });
      options.onRetry?.();
      await pause(Math.random() * Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (tries - 1)));
    }
  }
}
