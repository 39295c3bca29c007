/**
 * nova-conductor: owns the journal and runs the operations.
 *
 * It takes operations under a lease, as a hint arrives or as it finds them by looking; so recovery after any crash is
 * just another look. One bad operation never stops the others.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Rpc } from '#bus/rpc.ts';
import { conductorContract } from '#contracts/conductor.ts';
import { VERSIONS } from '#contracts/operation-inputs.ts';
import type { Database } from '#db/database.ts';
import { forgiveSilence } from '#db/repo/hosts.ts';
import { journalStore } from '#db/repo/journal-store.ts';
import { cancelledOperations, findOperation } from '#db/repo/operations.ts';
import { CloudError, type ErrorData } from '#domain/errors.ts';
import { ENDED } from '#domain/operation/operation.ts';
import type { ImageClient } from '#http/image-client.ts';
import { runOperation } from '#journal/run.ts';
import { type JournalStore, type LeasedOperation, LeaseLost } from '#journal/store.ts';
import type { Log } from '#observe/log.ts';
import { NO_TELEMETRY, type Telemetry } from '#observe/telemetry.ts';
import { OPERATIONS } from '#operations/catalogue.ts';
import { hostNetworkHandlers } from './host-network/handlers.ts';
import { hostRegistry } from './host-registry.ts';
import { Overdue } from './overdue.ts';
import { Reconciler } from './reconciler.ts';
import { stepPorts } from './step-ports.ts';

export interface ConductorOptions {
  readonly db: Database;
  readonly rpc: Rpc;
  readonly images: ImageClient;
  /** Where agents find the images, and a token for that. */
  readonly imageAccess: () => Promise<{ readonly url: string; readonly token: string }>;
  readonly log: Log;
  readonly telemetry?: Telemetry;
  readonly now?: () => number;
  /** Replaces the store, for faults in tests. */
  readonly store?: JournalStore;
  /** Replaces the definitions, for faults in tests. */
  readonly operations?: typeof OPERATIONS;
  readonly leaseMs?: number;
  /** How often it looks for work that nobody told it of. */
  readonly lookEveryMs?: number;
  readonly backOff?: (attempt: number, signal: AbortSignal) => Promise<void>;
  /** Guests that ran when their host went down are started again. */
  readonly startLostGuests?: boolean;
  /** After how long a soft-deleted server is deleted; 0: soft deletion is not offered. */
  readonly reclaimMs?: number;
  /** After how long a shelved server leaves its host; negative: never. */
  readonly offloadMs?: number;
}

const DEFAULT_LEASE_MS = 30_000;
const LOOK_EVERY_MS = 1_000;
const MAX_RUNNING = 256;

interface Run {
  readonly cancel: AbortController;
  /** Aborted when another conductor has the operation. */
  readonly lost: AbortController;
  readonly ended: Promise<void>;
}

export class Conductor {
  readonly #options: ConductorOptions;
  readonly #store: JournalStore;
  readonly #owner = randomUUID();
  readonly #leaseMs: number;
  readonly #now: () => number;
  readonly #telemetry: Telemetry;
  readonly #runs = new Map<string, Run>();
  readonly #stop = new AbortController();
  readonly #journalWaiters = new Map<string, Set<() => void>>();
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #claiming = new Set<Promise<unknown>>();
  readonly #ports: ReturnType<typeof stepPorts>;
  readonly #reconciler: Reconciler;
  readonly #overdue: Overdue;
  /** Until then what it is told of waits: `resume` finds it. */
  #isResumed = false;

  constructor(options: ConductorOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#telemetry = options.telemetry ?? NO_TELEMETRY;
    this.#telemetry.meter.gauges(() => [{ name: 'micronova_operations_running', labels: {}, value: this.#runs.size }]);
    this.#store = options.store ?? journalStore(options.db, this.#now, VERSIONS);
    this.#leaseMs = options.leaseMs ?? DEFAULT_LEASE_MS;
    this.#ports = stepPorts({ ...options, now: this.#now });
    const begun = (operationId: string) => {
      // Found by looking as well.
      this.#look(operationId).catch((error: unknown) => options.log.warn({ err: error }, 'not begun yet'));
    };
    const own = { db: options.db, rpc: options.rpc, log: options.log, now: this.#now, begun };
    this.#reconciler = new Reconciler({ ...own, startLostGuests: options.startLostGuests ?? false });
    this.#overdue = new Overdue({ ...own, reclaimMs: options.reclaimMs ?? 0, offloadMs: options.offloadMs ?? -1 });
  }

  /** Answers the contract. `alone`: no other conductor can be alive, so every lease is stale and is given up. */
  async start(options: { readonly alone: boolean }): Promise<void> {
    const { rpc, log, db } = this.#options;
    if (options.alone) await this.#store.release('everybody');
    else await forgiveSilence(db.queries, this.#now());
    await rpc.serve(
      conductorContract,
      {
        operationReady: ({ operationId }) => this.#look(operationId),
        awaitStep: ({ operationId, step }, { signal }) => this.#awaitStep(operationId, step, signal),
        imageAccess: () => this.#options.imageAccess(),
        ...hostNetworkHandlers({ db, rpc, log }, this.#now),
        ...hostRegistry(db, this.#reconciler, log, this.#now),
        ...this.#reconciler.handlers(),
      },
      { name: 'nova-conductor', log },
    );
  }

  /**
   * Goes on with what is in the journal, and keeps looking. Called once the hosts of this process have registered:
   * until then an operation would take them for down.
   */
  async resume(): Promise<void> {
    this.#isResumed = true;
    const claim = async () => {
      await this.#heedCancels();
      await this.#claim(MAX_RUNNING - this.#runs.size);
    };
    this.#every(this.#options.lookEveryMs ?? LOOK_EVERY_MS, claim);
    this.#every(this.#leaseMs / 3, () => this.#renew());
    this.#overdue.start();
    await claim();
  }

  /** Ends all runs where they are; their operations go on at the next start, here or elsewhere. */
  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await this.#overdue.close();
    this.#stop.abort(new CloudError('serviceUnavailable', { reason: 'The conductor is stopping.' }));
    await Promise.allSettled(this.#claiming);
    await Promise.all([...this.#runs.values()].map((run) => run.ended));
    // Without a database the leases run out by themselves; the rest of the process has to end all the same.
    await this.#store
      .release(this.#owner)
      .catch((error: unknown) => this.#options.log.warn({ err: error }, 'leases not given back; they run out'));
  }

  async #look(operationId: string): Promise<Record<string, never>> {
    const running = this.#runs.get(operationId);
    const isFull = this.#runs.size >= MAX_RUNNING;
    const row = running || isFull ? await findOperation(this.#options.db.queries, operationId) : undefined;
    if (running && row?.cancel_reason) running.cancel.abort(row.cancel_reason);
    // One that is to be taken back always finds room: those that fill it may all be waiting for such.
    if (!running && (!isFull || row?.cancel_reason)) await this.#claim(1, operationId);
    return {};
  }

  /** Who cancels straight in the record (`micronova op cancel`) tells nobody. */
  async #heedCancels(): Promise<void> {
    if (this.#runs.size === 0) return;
    for (const { id, cancel_reason } of await cancelledOperations(this.#options.db.queries, [...this.#runs.keys()]))
      this.#runs.get(id)?.cancel.abort(cancel_reason);
  }

  async #claim(room: number, id?: string): Promise<void> {
    if (!this.#isResumed || room <= 0 || this.#stop.signal.aborted) return;
    const claiming = this.#store.claim(this.#owner, this.#leaseMs, room, id).then((operations) => {
      for (const operation of operations) this.#run(operation);
    });
    this.#claiming.add(claiming);
    await claiming.finally(() => this.#claiming.delete(claiming));
  }

  #run(operation: LeasedOperation): void {
    const cancel = new AbortController();
    const lost = new AbortController();
    if (operation.cancelReason !== null) cancel.abort(operation.cancelReason);
    const { log } = this.#options;
    // Its lease ran out while it was still run here (the machine slept): that run can write nothing more.
    const before = this.#runs.get(operation.id);
    before?.lost.abort(new LeaseLost(`operation ${operation.id} was taken anew`));
    const begin = () =>
      runOperation({
        definition: (this.#options.operations ?? OPERATIONS)[operation.kind],
        operation,
        store: this.#store,
        ports: this.#ports,
        stop: AbortSignal.any([this.#stop.signal, lost.signal]),
        cancel: cancel.signal,
        now: this.#now,
        log,
        telemetry: this.#telemetry,
        onJournal: () => this.#tellWaiters(operation.id),
        ...(this.#options.backOff && { backOff: this.#options.backOff }),
      });
    const ended = (before ? before.ended.then(begin) : begin()).then(
      (ending) => {
        const { id, requestId, serverId, kind } = operation;
        const ids = { operation_id: id, request_id: requestId, instance_id: serverId };
        log.info({ ...ids, kind, state: ending.state }, 'operation ended');
        this.#reconciler.operationEnded(serverId, { asWanted: ending.state === 'done' });
      },
      (error: unknown) => {
        if (this.#stop.signal.aborted || lost.signal.aborted || error instanceof LeaseLost) return;
        log.error({ err: error, operation_id: operation.id }, 'operation interrupted; it goes on when its lease ends');
      },
    );
    const run: Run = {
      cancel,
      lost,
      ended: ended.finally(() => {
        if (this.#runs.get(operation.id) === run) this.#runs.delete(operation.id);
        this.#tellWaiters(operation.id);
      }),
    };
    this.#runs.set(operation.id, run);
  }

  async #renew(): Promise<void> {
    const asked = [...this.#runs];
    const held = await this.#store.renew(
      this.#owner,
      this.#leaseMs,
      asked.map(([id]) => id),
    );
    for (const [id, run] of asked) {
      const reason = held.get(id);
      if (reason === undefined) run.lost.abort(new LeaseLost(`operation ${id} has another owner`));
      else if (reason !== null) run.cancel.abort(reason);
    }
  }

  async #awaitStep(operationId: string, step: string, signal: AbortSignal): Promise<Record<string, never>> {
    for (;;) {
      signal.throwIfAborted();
      this.#stop.signal.throwIfAborted();
      const news = this.#nextJournal(operationId);
      const operation = await findOperation(this.#options.db.queries, operationId);
      if (!operation) throw new CloudError('notFound', { what: 'Operation', id: operationId });
      if (operation.error !== null) throw CloudError.fromData(JSON.parse(operation.error) as ErrorData);
      const journal = await this.#store.read(operationId);
      if (ENDED.has(operation.state) || journal.some((entry) => entry.step === step && entry.event === 'done'))
        return {};
      // Another conductor may run it, of whose journal no news comes here.
      await Promise.race([news, delay(100, undefined, { signal })]);
    }
  }

  #nextJournal(operationId: string): Promise<void> {
    return new Promise((resolve) => {
      const waiters = this.#journalWaiters.get(operationId) ?? new Set();
      this.#journalWaiters.set(operationId, waiters.add(resolve));
    });
  }

  #tellWaiters(operationId: string): void {
    const waiters = this.#journalWaiters.get(operationId);
    this.#journalWaiters.delete(operationId);
    for (const tell of waiters ?? []) tell();
  }

  #every(ms: number, work: () => Promise<void>): void {
    const timer = setInterval(() => {
      work().catch((error: unknown) =>
        this.#options.log.error({ err: error }, 'the conductor could not look; it looks again'),
      );
    }, ms);
    this.#timers.push(timer);
  }
}
