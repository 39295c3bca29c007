import { setTimeout as delay } from 'node:timers/promises';

/** One thing at a time per key, in the order of asking; different keys do not wait for each other. */
export class KeyedLock {
  readonly #tails = new Map<string, Promise<void>>();

  /** Runs `work` when everything asked for earlier under `key` has ended, well or badly. */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key);
    const { promise: tail, resolve: release } = Promise.withResolvers<void>();
    this.#tails.set(key, tail);
    try {
      await before;
      return await work();
    } finally {
      release();
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    }
  }

  /** Whether nobody has or wants the key, waiting a moment for that. */
  async isFreeWithin(key: string, ms: number): Promise<boolean> {
    const tail = this.#tails.get(key);
    if (!tail) return true;
    const timer = new AbortController();
    const late = delay(ms, undefined, { signal: timer.signal }).catch(() => undefined); // ended by us
    await Promise.race([tail, late]);
    timer.abort();
    return !this.#tails.has(key);
  }
}
