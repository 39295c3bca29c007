/** One thing at a time per key: calls for the same guest wait for each other, those for different guests do not. */
export class Serial {
  readonly #tails = new Map<string, Promise<unknown>>();

  /** Runs `work` after everything asked for earlier under `key`, whether that failed or not. */
  run<Result>(key: string, work: () => Promise<Result>): Promise<Result> {
    const before = this.#tails.get(key) ?? Promise.resolve();
    const run = before.then(work, work);
    const tail = run
      .catch(() => undefined)
      .finally(() => {
        if (this.#tails.get(key) === tail) this.#tails.delete(key);
      });
    this.#tails.set(key, tail);
    return run;
  }
}
