/** So many bytes a second, of which those who send take in the order in which they come. */
import { setTimeout as delay } from 'node:timers/promises';

export class Bandwidth {
  readonly #bytesPerSecond: number;
  /** When all that was taken will have gone, in milliseconds of `performance.now()`. */
  #goneAt = 0;

  /** 0: no limit. */
  constructor(bytesPerSecond: number) {
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** Resolves when it is the turn of these bytes: at once, unless others are on their way. */
  async take(bytes: number): Promise<void> {
    if (this.#bytesPerSecond === 0) return;
    const now = performance.now();
    const turn = Math.max(now, this.#goneAt);
    this.#goneAt = turn + (bytes / this.#bytesPerSecond) * 1000;
    // Nothing is held up by it that would end otherwise.
    if (turn > now) await delay(turn - now, undefined, { ref: false });
  }
}
