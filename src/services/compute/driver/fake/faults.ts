/**
 * Faults on order: the one place where the fake driver misbehaves. A fault is plain data, so that it can also be set over
 * HTTP by people who try how their tools cope.
 */

import type { Driver, GuestId } from '../driver.ts';
import { DriverError } from '../driver-error.ts';

/** The methods that a fault can hit: those that act on one guest. */
export type FaultPoint = keyof Pick<
  Driver,
  | 'inspect'
  | 'create'
  | 'spec'
  | 'start'
  | 'stop'
  | 'reboot'
  | 'pause'
  | 'suspend'
  | 'reconfigure'
  | 'settle'
  | 'revert'
  | 'plug'
  | 'unplug'
  | 'receive'
  | 'migrate'
  | 'hurry'
  | 'destroy'
  | 'backupDisk'
  | 'setPassword'
  | 'injectNmi'
  | 'consoleOutput'
  | 'openConsole'
>;

/** Long jobs, whose time passes between their reports of progress. */
const JOBS: readonly FaultPoint[] = ['backupDisk', 'suspend', 'migrate'];

/** What goes wrong. A text becomes a `command_failed` error; `times` failures are followed by success. */
export type Failure = string | Error | { readonly error: string | Error; readonly times: number };

/** The misbehaviour of one guest, or of all. */
export interface Fault {
  readonly failAt?: Partial<Record<FaultPoint, Failure>>;
  /** Calls of these wait until the fault is replaced or cleared; those that take a signal also until it fires. */
  readonly blockAt?: readonly FaultPoint[];
  /** Every call takes this long; `backupDisk`, `suspend` and `migrate` spread it over their progress. */
  readonly delayMs?: number;
  /** The guest does not hear the power button: `reboot` answers false. */
  readonly deaf?: boolean;
}

/** Time as the fake driver sees it; tests hand in their own. */
export interface FakeClock {
  /** Resolves after `ms`, or rejects with the signal's reason. */
  delay(ms: number, signal?: AbortSignal): Promise<void>;
}

interface Armed {
  readonly fault: Fault;
  readonly failuresLeft: Map<FaultPoint, number>;
  readonly replaced: PromiseWithResolvers<void>;
}

/** All faults now set. A guest's own fault replaces the one for `*`. */
export class Faults {
  readonly #armed = new Map<GuestId | '*', Armed>();
  readonly #hanging = new Map<string, number>();
  readonly #clock: FakeClock;

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  /** Sets, replaces or (null) clears the fault of one guest or of all (`*`); blocked calls look again. */
  set(id: GuestId | '*', fault: Fault | null): void {
    const before = this.#armed.get(id);
    if (fault) this.#armed.set(id, { fault, failuresLeft: new Map(), replaced: Promise.withResolvers() });
    else this.#armed.delete(id);
    before?.replaced.resolve();
  }

  /** Whether such a call waits for its fault to be replaced. */
  isHanging(id: GuestId, point: FaultPoint): boolean {
    return (this.#hanging.get(`${id} ${point}`) ?? 0) > 0;
  }

  /** How long each call takes. */
  delayMs(id: GuestId): number {
    return this.#of(id)?.fault.delayMs ?? 0;
  }

  /** Whether the guest ignores the power button. */
  deaf(id: GuestId): boolean {
    return this.#of(id)?.fault.deaf ?? false;
  }

  /** Waits and throws as ordered for this call. */
  async meet(id: GuestId, point: FaultPoint, signal?: AbortSignal): Promise<void> {
    for (let armed = this.#of(id); armed?.fault.blockAt?.includes(point); armed = this.#of(id)) {
      const fired = Promise.withResolvers<never>();
      const onAbort = () => fired.reject(signal?.reason);
      signal?.throwIfAborted();
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#count(id, point, 1);
      try {
        await Promise.race([armed.replaced.promise, fired.promise]);
      } finally {
        this.#count(id, point, -1);
        signal?.removeEventListener('abort', onAbort);
      }
    }
    const armed = this.#of(id);
    if (armed?.fault.delayMs && !JOBS.includes(point)) await this.#clock.delay(armed.fault.delayMs, signal);
    const failure = armed?.fault.failAt?.[point];
    if (!armed || failure === undefined) return;
    const limited = typeof failure === 'object' && 'times' in failure;
    const left = armed.failuresLeft.get(point) ?? (limited ? failure.times : Number.POSITIVE_INFINITY);
    if (left <= 0) return;
    armed.failuresLeft.set(point, left - 1);
    const error = limited ? failure.error : failure;
    throw typeof error === 'string' ? new DriverError('command_failed', `${point} of guest ${id}: ${error}`) : error;
  }

  #count(id: GuestId, point: FaultPoint, more: number): void {
    const key = `${id} ${point}`;
    const now = (this.#hanging.get(key) ?? 0) + more;
    if (now === 0) this.#hanging.delete(key);
    else this.#hanging.set(key, now);
  }

  #of(id: GuestId): Armed | undefined {
    return this.#armed.get(id) ?? this.#armed.get('*');
  }
}
