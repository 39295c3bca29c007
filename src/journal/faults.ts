/**
 * Faults for tests of operations: around a step, and at a write of the journal. They are woven in once and armed later,
 * so that a cloud can be prepared in peace and only the operation under test meets them.
 */
import type { Operation, StepContext } from './define.ts';
import type { JournalStore } from './store.ts';

/** A step's `do` or `undo` about to run. `run` may be called any number of times, each as work of its own. */
export interface StepRun {
  readonly step: string;
  readonly phase: 'do' | 'undo';
  readonly run: () => Promise<unknown>;
}

/** What happens instead of a step; null: the step. */
export class StepFaults {
  around: ((run: StepRun) => Promise<unknown>) | null = null;

  /** The definition with this fault woven in. */
  weave<Ports>(definition: Operation<Ports>): Operation<Ports> {
    let runs = 0;
    type Context = StepContext<Ports, unknown, Record<string, unknown>>;
    const through = (step: string, phase: 'do' | 'undo', work: (context: Context) => Promise<unknown>) => {
      return (context: Context) => {
        // Under its own key each time: else whoever does the work only repeats the answer that it gave before.
        const run = () => work({ ...context, key: `${context.key}#${runs++}` });
        return this.around ? this.around({ step, phase, run }) : work(context);
      };
    };
    const steps = definition.steps.map((step) => {
      const { undo } = step;
      return {
        ...step,
        do: through(step.name, 'do', step.do),
        ...(undo && { undo: async (context: Context) => void (await through(step.name, 'undo', undo)(context)) }),
      };
    });
    return { ...definition, steps };
  }
}

/** A place in the sequence of durable writes. */
export interface CrashPoint {
  /** Counted from 1, from when it is armed. */
  readonly write: number;
  readonly when: 'before' | 'after';
}

/**
 * Stands for the death of the process: from the crash on, nothing that it still tries reaches the journal. The next
 * process weaves its own store and lives.
 */
export class JournalFaults {
  #armed: (CrashPoint & { readonly crashed: () => void }) | null = null;
  #writes = 0;

  /** Resolves when the crash has happened. */
  arm(point: CrashPoint): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#armed = { ...point, crashed: resolve };
    this.#writes = 0;
    return promise;
  }

  disarm(): void {
    this.#armed = null;
  }

  weave(store: JournalStore): JournalStore {
    let isDead = false;
    const dead = () => new Error('this process is dead');
    const durable = async (write: () => Promise<void>) => {
      if (isDead) throw dead();
      const armed = this.#armed;
      this.#writes += 1;
      if (armed?.write !== this.#writes) return write();
      isDead = true;
      if (armed.when === 'after') await write();
      armed.crashed();
      throw dead();
    };
    return {
      claim: async (...asked) => (isDead ? [] : store.claim(...asked)),
      renew: async (...asked) => (isDead ? new Map() : store.renew(...asked)),
      release: async (owner) => (isDead ? undefined : store.release(owner)),
      read: (id) => store.read(id),
      append: (...written) => durable(() => store.append(...written)),
      finish: (...written) => durable(() => store.finish(...written)),
      progress: (...written) => (isDead ? Promise.reject(dead()) : store.progress(...written)),
    };
  }
}
