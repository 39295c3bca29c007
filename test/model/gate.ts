/** Many may be inside at once, or one alone: requests and looks at the record, or a restart of the cloud. */

export class Gate {
  #inside = 0;
  #closed: Promise<void> | null = null;
  #empty: (() => void) | null = null;

  /** Runs `work` with others. */
  async with<Result>(work: () => Promise<Result>): Promise<Result> {
    while (this.#closed) await this.#closed;
    this.#inside += 1;
    try {
      return await work();
    } finally {
      this.#inside -= 1;
      if (this.#inside === 0) this.#empty?.();
    }
  }

  /** Runs `work` when nobody is inside any more, and lets nobody in before it is done. */
  async alone(work: () => Promise<void>): Promise<void> {
    while (this.#closed) await this.#closed;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#closed = promise;
    if (this.#inside > 0) await new Promise<void>((empty) => (this.#empty = empty));
    this.#empty = null;
    try {
      await work();
    } finally {
      this.#closed = null;
      resolve();
    }
  }
}
