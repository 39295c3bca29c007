/**
 * Runs one operation from wherever its journal stands to its end.
 *
 * Order is everything: `started` is durable before an effect begins, `done` with the output after it ended. Killed
 * between any two lines, the next run reads the same journal and goes on.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { CloudError, type ErrorData } from '#domain/errors.ts';
import { TRANSITIONS, type Transition } from '#domain/instance/transitions.ts';
import { currentContext, withContext } from '#observe/context.ts';
import type { Log } from '#observe/log.ts';
import { NO_TELEMETRY, type Telemetry } from '#observe/telemetry.ts';
import { checked } from '#schema/check.ts';
import type { AnyStep, InstancePatch, Older, Operation, StepContext } from './define.ts';
import { planOf } from './recover.ts';
import { RunTelemetry } from './run-telemetry.ts';
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
  readonly telemetry?: Telemetry;
  /** Told after each durable change of the journal. */
  readonly onJournal: (entries: readonly JournalEntry[]) => void;
  /** Waits before another attempt; tests pass one that does not wait. */
  readonly backOff?: (attempt: number, signal: AbortSignal) => Promise<void>;
}

const ATTEMPTS = 4;
const DEFAULT_DEADLINE_MS = 120_000;
/** How long taking back waits for what is away; then a person, or an evacuation, has to decide. */
const UNDO_PATIENCE_MS = 300_000;
const PROGRESS_EVERY_MS = 500;

const exponential = async (attempt: number, signal: AbortSignal) => {
  await delay(Math.min(30_000, 100 * 3 ** attempt), undefined, { signal });
};

/** Resolves with how the operation ended. Throws `LeaseLost`, or the reason of `stop`; the operation then goes on elsewhere or later. */
export async function runOperation<Ports>(options: RunOptions<Ports>): Promise<Ending> {
  const { operation, telemetry = NO_TELEMETRY } = options;
  const observed = new RunTelemetry(telemetry, operation);
  const { traceparent } = observed;
  return withContext(
    { requestId: operation.requestId, operationId: operation.id, instanceId: operation.serverId, traceparent },
    () => new Run(options, observed).toEnd(),
  );
}

class Run<Ports> {
  readonly #options: RunOptions<Ports>;
  readonly #observed: RunTelemetry;
  readonly #journal: JournalEntry[] = [];
  readonly #backOff: NonNullable<RunOptions<Ports>['backOff']>;
  /** Entries and changes that go into the next transaction, so that a step costs one commit and not two. */
  #unwritten: JournalEntry[] = [];
  #patch: InstancePatch = {};

  constructor(options: RunOptions<Ports>, observed: RunTelemetry) {
    this.#options = options;
    this.#observed = observed;
    this.#backOff = options.backOff ?? exponential;
  }

  async toEnd(): Promise<Ending> {
    const { definition, operation, store } = this.#options;
    if (!definition) return this.#needsAttention(`this version knows no operation ${operation.kind}`);
    if (definition.version !== operation.version && !this.#older)
      return this.#needsAttention(`it is of version ${operation.version}, this is ${definition.version}`);
    this.#journal.push(...(await store.read(operation.id)).map((entry) => this.#current(entry)));
    for (;;) {
      this.#options.stop.throwIfAborted();
      const cancelled = operation.cancelReason !== null || this.#options.cancel.aborted;
      const { next, outputs, failure } = planOf(definition, [...this.#journal, ...this.#unwritten], cancelled);
      switch (next.type) {
        case 'do': {
          const stuck = await this.#do(next.step, outputs, next.pastNoReturn);
          if (stuck) return stuck;
          break;
        }
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

  /** Answers an ending only when a step that cannot be taken back any more cannot be done either: then a person has to look. */
  async #do(step: AnyStep<Ports>, outputs: Record<string, unknown>, pastNoReturn: boolean): Promise<Ending | null> {
    await this.#write([{ step: step.name, event: 'started', data: null }], {
      state: 'running',
      ...(step.task && { task: step.task }),
    });
    try {
      const output = await this.#observed.step(step.name, 'do', () => this.#attempt(step, outputs, pastNoReturn));
      this.#unwritten.push({ step: step.name, event: 'done', data: output ?? null });
      if (step.record) {
        const context = { now: this.#options.now(), input: this.#input() };
        this.#patch = { ...this.#patch, ...step.record(output, context) };
      }
    } catch (thrown) {
      this.#options.stop.throwIfAborted();
      const { aborted, reason } = this.#options.cancel;
      const error =
        aborted && !pastNoReturn
          ? new CloudError('cancelled', { reason: String(reason) }, { cause: thrown })
          : CloudError.from(thrown, this.#options.operation.requestId);
      this.#options.log.warn({ err: error.cause ?? error, step: step.name }, 'step failed');
      if (pastNoReturn) return this.#needsAttention(`${step.name} failed: ${error.message}`);
      this.#unwritten.push({ step: step.name, event: 'failed', data: error.toData() });
    }
    return null;
  }

  async #attempt(step: AnyStep<Ports>, outputs: Record<string, unknown>, pastNoReturn: boolean): Promise<unknown> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#bounded(step, pastNoReturn, (signal) => step.do(this.#context(step, outputs, signal)));
      } catch (thrown) {
        this.#options.stop.throwIfAborted();
        const { aborted: cancelled } = this.#options.cancel;
        const error = CloudError.from(thrown, this.#options.operation.requestId);
        this.#observed.failed(step.name, 'do', error);
        // What cannot go back waits as long as it takes for what may come again, and gives other things a few chances.
        const tryAgain = error.retryable ? pastNoReturn || attempt < ATTEMPTS : pastNoReturn && attempt < ATTEMPTS;
        // Something stronger waits for the end of it.
        if (cancelled || !tryAgain) throw thrown;
        this.#options.log.info({ err: error, step: step.name, attempt }, 'step is tried again');
        this.#observed.retried(step.name, 'do');
        await this.#backOff(attempt, this.#options.stop);
      }
    }
  }

  /** Answers an ending only when the undo cannot be done: then a person has to look. */
  async #undo(step: AnyStep<Ports>, outputs: Record<string, unknown>): Promise<Ending | null> {
    if (step.undo) {
      const { undo } = step;
      await this.#write([{ step: step.name, event: 'undo_started', data: null }], { state: 'undoing' });
      try {
        await this.#observed.step(step.name, 'undo', () => this.#attemptUndo(step, undo, outputs));
      } catch (thrown) {
        this.#options.stop.throwIfAborted();
        const error = CloudError.from(thrown, this.#options.operation.requestId);
        this.#unwritten.push({ step: step.name, event: 'undo_failed', data: error.toData() });
        return this.#needsAttention(`taking back ${step.name} failed: ${error.message}`);
      }
    }
    this.#unwritten.push({ step: step.name, event: 'undone', data: null });
    if (step.unrecord) this.#patch = { ...this.#patch, ...step.unrecord({ input: this.#input() }) };
    return null;
  }

  async #attemptUndo(
    step: AnyStep<Ports>,
    undo: NonNullable<AnyStep<Ports>['undo']>,
    outputs: Record<string, unknown>,
  ): Promise<void> {
    const begun = this.#options.now();
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#bounded(step, true, (signal) => undo(this.#context(step, outputs, signal)));
        return;
      } catch (thrown) {
        this.#options.stop.throwIfAborted();
        const error = CloudError.from(thrown, this.#options.operation.requestId);
        this.#observed.failed(step.name, 'undo', error);
        this.#options.log.warn({ err: error.cause ?? error, step: step.name, attempt }, 'undo failed');
        // What may come again (a bus, a record, a host) gets its time, unless something stronger waits for the end of it.
        const isPatient = error.retryable && !this.#options.cancel.aborted;
        const isLate = this.#options.now() - begun > UNDO_PATIENCE_MS;
        if (attempt >= ATTEMPTS && (!isPatient || isLate)) throw error;
        this.#observed.retried(step.name, 'undo');
        await this.#backOff(attempt, this.#options.stop);
      }
    }
  }

  async #finish(as: 'done' | 'undone', failure: ErrorData | null): Promise<Ending> {
    const { operation } = this.#options;
    const row: Transition = TRANSITIONS[operation.kind];
    const reason =
      operation.cancelReason ?? (this.#options.cancel.aborted ? String(this.#options.cancel.reason) : null);
    const error = as === 'done' ? null : reason === null ? failure : new CloudError('cancelled', { reason }).toData();
    return this.#end({ state: as, error, vmState: as === 'done' ? endOf(row) : row.onFailure });
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
    this.#observed.ended(ending, this.#options.now());
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
    const { deadlineMs: wanted = DEFAULT_DEADLINE_MS } = step;
    const deadlineMs = typeof wanted === 'number' ? wanted : wanted(this.#input());
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
      traceparent: currentContext()?.traceparent,
    };
    try {
      return await withContext(context, () => work(AbortSignal.any(signals)));
    } finally {
      clearTimeout(timer);
    }
  }

  #input(): unknown {
    const { operation, definition } = this.#options;
    if (!definition) return operation.input;
    const input = this.#older?.input?.(operation.input as Readonly<Record<string, unknown>>) ?? operation.input;
    return checked(definition.input, input, `${operation.kind} input`);
  }

  /** How this release reads what an older one has written. */
  get #older(): Older | undefined {
    const { operation, definition } = this.#options;
    return definition?.older?.[operation.version];
  }

  #current(entry: JournalEntry): JournalEntry {
    const convert = entry.event === 'done' ? this.#older?.outputs?.[entry.step] : undefined;
    return convert ? { ...entry, data: convert(entry.data as Readonly<Record<string, unknown>>) } : entry;
  }

  #context(
    step: AnyStep<Ports>,
    outputs: Record<string, unknown>,
    signal: AbortSignal,
  ): StepContext<Ports, unknown, Record<string, unknown>> {
    const { operation, store, ports, now, log } = this.#options;
    let last = 0;
    return {
      operationId: operation.id,
      requestId: operation.requestId,
      serverId: operation.serverId,
      projectId: operation.projectId,
      userId: operation.userId,
      input: this.#input(),
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

/** Where it leaves the server; of several ends its last step has recorded the one that came. */
function endOf({ to }: Transition): Ending['vmState'] {
  return to !== 'same' && to.length === 1 ? to[0] : 'same';
}
