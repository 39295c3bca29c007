/**
 * Faults on order: the one place where the fake driver misbehaves. A fault is plain data, so that it can also be set over
 * HTTP by people who try how their tools cope.
 */

import type { Driver, GuestId } from '../driver.ts';
import { DriverError } from '../driver-error.ts';

/** The methods that a fault can hit: those that act on one guest. */
export type FaultPoint = keyof Pick<
  Driver,
  'inspect' | 'create' | 'start' | 'stop' | 'destroy' | 'backupDisk' | 'consoleOutput'
>;

/** What goes wrong. A text becomes a `command_failed` error; `times` failures are followed by success. */
export type Failure = string | Error | { readonly error: string | Error; readonly times: number };

/** The misbehaviour of one guest, or of all. */
export interface Fault {
  readonly failAt?: Partial<Record<FaultPoint, Failure>>;
  /** Calls of these wait until the fault is replaced or cleared (a backup also until its signal fires). */
  readonly blockAt?: readonly FaultPoint[];
  /** Every call takes this long; a backup spreads it over its progress. */
  readonly delayMs?: number;
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

  /** How long each call takes. */
  delayMs(id: GuestId): number {
    return this.#of(id)?.fault.delayMs ?? 0;
  }

  /** Waits and throws as ordered for this call. */
  async meet(id: GuestId, point: FaultPoint, signal?: AbortSignal): Promise<void> {
    for (let armed = this.#of(id); armed?.fault.blockAt?.includes(point); armed = this.#of(id)) {
      const fired = Promise.withResolvers<never>();
      const onAbort = () => fired.reject(signal?.reason);
      signal?.throwIfAborted();
      signal?.addEventListener('abort', onAbort, { once: true });
      try {
        await Promise.race([armed.replaced.promise, fired.promise]);
      } finally {
        signal?.removeEventListener('abort', onAbort);
      }
    }
    const armed = this.#of(id);
    // A backup's time passes inside it, between its reports of progress.
    if (armed?.fault.delayMs && point !== 'backupDisk') await this.#clock.delay(armed.fault.delayMs, signal);
    const failure = armed?.fault.failAt?.[point];
    if (!armed || failure === undefined) return;
    const limited = typeof failure === 'object' && 'times' in failure;
    const left = armed.failuresLeft.get(point) ?? (limited ? failure.times : Number.POSITIVE_INFINITY);
    if (left <= 0) return;
    armed.failuresLeft.set(point, left - 1);
    const error = limited ? failure.error : failure;
    throw typeof error === 'string' ? new DriverError('command_failed', `${point} of guest ${id}: ${error}`) : error;
  }

  #of(id: GuestId): Armed | undefined {
    return this.#armed.get(id) ?? this.#armed.get('*');
  }
}
