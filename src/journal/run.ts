/**
 * Runs one operation from wherever its journal stands to its end.
 *
 * Order is everything: `started` is durable before an effect begins, `done` with the output after it ended. Killed
 * between any two lines, the next run reads the same journal and goes on.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { CloudError, type ErrorData } from '#domain/errors.ts';
import { TRANSITIONS, type Transition } from '#domain/instance/states.ts';
import { withContext } from '#observe/context.ts';
import type { Log } from '#observe/log.ts';
import { checked } from '#schema/check.ts';
import type { AnyStep, InstancePatch, Operation, StepContext } from './define.ts';
import { planOf } from './recover.ts';
import type { Ending, JournalEntry, JournalStore, LeasedOperation } from './store.ts';

export interface RunOptions<Ports> {
  readonly definition: Operation<Ports> | undefined;
  readonly operation: LeasedOperation;
  readonly store: JournalStore;
  readonly ports: Ports;
  /** Aborted when the process stops or the lease is lost: the run ends where it is, and nothing is undone. */
  readonly stop: AbortSignal;
  /** Aborted when the operation shall be undone. */
  readonly cancel: AbortSignal;
  readonly now: () => number;
  readonly log: Log;
  /** Told after each durable change of the journal. */
  readonly onJournal: (entries: readonly JournalEntry[]) => void;
  /** Waits before another attempt; tests pass one that does not wait. */
  readonly backOff?: (attempt: number, signal: AbortSignal) => Promise<void>;
}

const ATTEMPTS = 4;
const DEFAULT_DEADLINE_MS = 120_000;
const PROGRESS_EVERY_MS = 500;

const exponential = async (attempt: number, signal: AbortSignal) => {
  await delay(Math.min(30_000, 100 * 3 ** attempt), undefined, { signal });
};

/** Resolves with how the operation ended. Throws `LeaseLost`, or the reason of `stop`; the operation then goes on elsewhere or later. */
export async function runOperation<Ports>(options: RunOptions<Ports>): Promise<Ending> {
  const { operation } = options;
  return withContext(
    { requestId: operation.requestId, operationId: operation.id, instanceId: operation.serverId },
    () => new Run(options).toEnd(),
  );
}

class Run<Ports> {
  readonly #options: RunOptions<Ports>;
  readonly #journal: JournalEntry[] = [];
  readonly #backOff: NonNullable<RunOptions<Ports>['backOff']>;
  /** Entries and changes that go into the next transaction, so that a step costs one commit and not two. */
  #unwritten: JournalEntry[] = [];
  #patch: InstancePatch = {};

  constructor(options: RunOptions<Ports>) {
    this.#options = options;
    this.#backOff = options.backOff ?? exponential;
  }

  async toEnd(): Promise<Ending> {
    const { definition, operation, store } = this.#options;
    if (!definition) return this.#needsAttention(`this version knows no operation ${operation.kind}`);
    if (definition.version !== operation.version) {
      return this.#needsAttention(`it is of version ${operation.version}, this is ${definition.version}`);
    }
    this.#journal.push(...(await store.read(operation.id)));
    for (;;) {
      this.#options.stop.throwIfAborted();
      const cancelled = operation.cancelReason !== null || this.#options.cancel.aborted;
      const { next, outputs, failure } = planOf(definition, [...this.#journal, ...this.#unwritten], cancelled);
      switch (next.type) {
        case 'do':
          await this.#do(next.step, outputs, next.pastNoReturn);
          break;
        case 'undo': {
          const stuck = await this.#undo(next.step, outputs);
          if (stuck) return stuck;
          break;
        }
        case 'finish':
          return this.#finish(next.as, failure as ErrorData | null);
        case 'stop':
          return this.#needsAttention(next.reason);
      }
    }
  }

  async #do(step: AnyStep<Ports>, outputs: Record<string, unknown>, pastNoReturn: boolean): Promise<void> {
    await this.#write([{ step: step.name, event: 'started', data: null }], {
      state: 'running',
      ...(step.task && { task: step.task }),
    });
    try {
      const output = await this.#attempt(step, outputs, pastNoReturn);
      this.#unwritten.push({ step: step.name, event: 'done', data: output ?? null });
      if (step.record) this.#patch = { ...this.#patch, ...step.record(output, { now: this.#options.now() }) };
    } catch (thrown) {
      this.#options.stop.throwIfAborted();
      const error = CloudError.from(thrown, this.#options.operation.requestId);
      this.#options.log.warn({ err: error.cause ?? error, step: step.name }, 'step failed');
      this.#unwritten.push({ step: step.name, event: 'failed', data: error.toData() });
    }
  }

  async #attempt(step: AnyStep<Ports>, outputs: Record<string, unknown>, pastNoReturn: boolean): Promise<unknown> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#bounded(step, pastNoReturn, (signal) => step.do(this.#context(step, outputs, signal)));
      } catch (thrown) {
        this.#options.stop.throwIfAborted();
        const cancelled = this.#options.cancel.aborted && !pastNoReturn;
        const error = CloudError.from(thrown, this.#options.operation.requestId);
        const tryAgain = pastNoReturn || (error.retryable && attempt < ATTEMPTS);
        if (cancelled || !tryAgain) throw thrown;
        this.#options.log.info({ err: error, step: step.name, attempt }, 'step is tried again');
        await this.#backOff(attempt, this.#options.stop);
      }
    }
  }

  /** Answers an ending only when the undo cannot be done: then a person has to look. */
  async #undo(step: AnyStep<Ports>, outputs: Record<string, unknown>): Promise<Ending | null> {
    if (step.undo) {
      const { undo } = step;
      await this.#write([{ step: step.name, event: 'undo_started', data: null }], { state: 'undoing' });
      for (let attempt = 1; ; attempt++) {
        try {
          await this.#bounded(step, true, (signal) => undo(this.#context(step, outputs, signal)));
          break;
        } catch (thrown) {
          this.#options.stop.throwIfAborted();
          const error = CloudError.from(thrown, this.#options.operation.requestId);
          this.#options.log.warn({ err: error.cause ?? error, step: step.name, attempt }, 'undo failed');
          if (attempt >= ATTEMPTS) {
            this.#unwritten.push({ step: step.name, event: 'undo_failed', data: error.toData() });
            return this.#needsAttention(`taking back ${step.name} failed: ${error.message}`);
          }
          await this.#backOff(attempt, this.#options.stop);
        }
      }
    }
    this.#unwritten.push({ step: step.name, event: 'undone', data: null });
    if (step.unrecord) this.#patch = { ...this.#patch, ...step.unrecord };
    return null;
  }

  async #finish(as: 'done' | 'undone', failure: ErrorData | null): Promise<Ending> {
    const { operation } = this.#options;
    const row: Transition = TRANSITIONS[operation.kind];
    const reason =
      operation.cancelReason ?? (this.#options.cancel.aborted ? String(this.#options.cancel.reason) : null);
    const error = as === 'done' ? null : reason === null ? failure : new CloudError('cancelled', { reason }).toData();
    return this.#end({ state: as, error, vmState: as === 'done' ? row.to : row.onFailure });
  }

  async #needsAttention(reason: string): Promise<Ending> {
    // Undefined for a kind of another version.
    const row: Transition | undefined = TRANSITIONS[this.#options.operation.kind];
    const text = `Operation ${this.#options.operation.kind} needs attention: ${reason}. See 'micronova op show ${this.#options.operation.id}'.`;
    return this.#end({
      state: 'needs_attention',
      error: new CloudError('conflict', { reason: text }).toData(),
      // A failed snapshot does not make a broken server, whether it was taken back or waits for a person.
      vmState: row?.onFailure ?? 'error',
    });
  }

  async #end(ending: Ending): Promise<Ending> {
    const entries = this.#unwritten;
    await this.#options.store.finish(this.#options.operation, entries, this.#patch, ending);
    this.#options.onJournal(entries);
    return ending;
  }

  async #write(
    entries: readonly JournalEntry[],
    effect: { state: 'running' | 'undoing'; task?: AnyStep<Ports>['task'] },
  ): Promise<void> {
    const all = [...this.#unwritten, ...entries];
    const { task, ...rest } = effect;
    await this.#options.store.append(this.#options.operation, all, {
      ...rest,
      ...(task && { task }),
      patch: this.#patch,
    });
    this.#journal.push(...all);
    this.#unwritten = [];
    this.#patch = {};
    this.#options.onJournal(all);
  }

  async #bounded(
    step: AnyStep<Ports>,
    ignoreCancel: boolean,
    work: (signal: AbortSignal) => Promise<unknown>,
  ): Promise<unknown> {
    const deadlineMs = step.deadlineMs ?? DEFAULT_DEADLINE_MS;
    const deadline = new AbortController();
    const timer = setTimeout(
      () => deadline.abort(new CloudError('deadlineExceeded', { what: step.name, seconds: deadlineMs / 1000 })),
      deadlineMs,
    );
    const signals = [this.#options.stop, deadline.signal, ...(ignoreCancel ? [] : [this.#options.cancel])];
    const { operation } = this.#options;
    const context = {
      requestId: operation.requestId,
      operationId: operation.id,
      instanceId: operation.serverId,
      step: step.name,
    };
    try {
      return await withContext(context, () => work(AbortSignal.any(signals)));
    } finally {
      clearTimeout(timer);
    }
  }

  #context(
    step: AnyStep<Ports>,
    outputs: Record<string, unknown>,
    signal: AbortSignal,
  ): StepContext<Ports, unknown, Record<string, unknown>> {
    const { operation, store, definition, ports, now, log } = this.#options;
    let last = 0;
    return {
      operationId: operation.id,
      requestId: operation.requestId,
      serverId: operation.serverId,
      projectId: operation.projectId,
      userId: operation.userId,
      input: definition ? checked(definition.input, operation.input, `${operation.kind} input`) : operation.input,
      secrets: operation.secrets,
      outputs,
      ports,
      signal,
      onProgress: ({ done, total }) => {
        if (now() - last < PROGRESS_EVERY_MS) return;
        last = now();
        store.progress(operation, { step: step.name, done, total, unit: 'bytes' }).catch((error: unknown) => {
          log.debug({ err: error }, 'progress not recorded');
        });
      },
      key: `${operation.id}/${step.name}`,
      now,
      log,
    };
  }
}
