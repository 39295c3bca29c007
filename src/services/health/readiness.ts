/**
 * Whether this process should be sent work: each part of it says why not, and what to do.
 *
 * Asked as often as anybody likes, it looks no oftener than once a second, and an answer takes two seconds at most; that it
 * drains is seen at once.
 */

/** What keeps a part from working. */
export interface Trouble {
  readonly reason: string;
  /** What an operator does about it. */
  readonly hint: string;
}

export interface PartState {
  readonly part: string;
  readonly ready: boolean;
  readonly reason?: string;
  readonly hint?: string;
}

export interface Verdict {
  readonly ready: boolean;
  readonly parts: readonly PartState[];
}

export type Check = () => Promise<Trouble | null> | Trouble | null;

const FRESH_MS = 1_000;
const CHECK_MS = 2_000;

const DRAINING: Trouble = {
  reason: 'this process is shutting down',
  hint: 'Nothing to do: send requests to another process of the role.',
};

export class Readiness {
  readonly #checks = new Map<string, Check>();
  #isDraining = false;
  #last: { readonly at: number; readonly looking: Promise<readonly PartState[]> } | undefined;

  /** Adds a part, or says how it is looked at from now on. */
  part(name: string, check: Check): void {
    this.#checks.set(name, check);
    this.#last = undefined;
  }

  /** From now on nothing new should come: this process is about to end. */
  drain(): void {
    this.#isDraining = true;
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** Never throws. */
  async look(): Promise<Verdict> {
    const now = performance.now();
    if (!this.#last || now - this.#last.at > FRESH_MS)
      this.#last = { at: now, looking: Promise.all([...this.#checks].map(([name, check]) => state(name, check))) };
    const parts = [...(await this.#last.looking), asState('drain', this.#isDraining ? DRAINING : null)];
    return { ready: parts.every(({ ready }) => ready), parts };
  }
}

async function state(name: string, check: Check): Promise<PartState> {
  const late = Promise.withResolvers<Trouble>();
  const timer = setTimeout(
    () =>
      late.resolve({ reason: `no answer within ${CHECK_MS / 1000} s`, hint: 'See whether it hangs or is overloaded.' }),
    CHECK_MS,
  );
  try {
    return asState(name, await Promise.race([check(), late.promise]));
  } catch (error) {
    return asState(name, { reason: (error as Error).message, hint: 'See the log of this process.' });
  } finally {
    clearTimeout(timer);
  }
}

function asState(part: string, trouble: Trouble | null): PartState {
  return { part, ready: trouble === null, ...trouble };
}
