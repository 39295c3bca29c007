/**
 * The journal's store port: what must be durable, and the guarantees that the engine builds on.
 *
 * Every write carries the fence of the lease under which it is made; a write under an old fence changes nothing and
 * throws `LeaseLost`. One `append` is one transaction: journal, operation, server row together or not at all.
 */
import type { ErrorData } from '#domain/errors.ts';
import type { TaskState, VmState } from '#domain/instance/states.ts';
import type { OperationKind, OperationState, Progress } from '#domain/operation/operation.ts';
import type { InstancePatch } from './define.ts';

export type JournalEvent = 'started' | 'done' | 'failed' | 'undo_started' | 'undone' | 'undo_failed';

export interface JournalEntry {
  readonly step: string;
  readonly event: JournalEvent;
  /** The output of a step that is done, or the error of one that failed. */
  readonly data: unknown;
}

/** An operation under a lease. */
export interface LeasedOperation {
  readonly id: string;
  readonly kind: OperationKind;
  readonly version: number;
  readonly serverId: string;
  readonly projectId: string;
  readonly userId: string;
  readonly requestId: string;
  readonly input: unknown;
  readonly secrets: Readonly<Record<string, string>>;
  readonly state: OperationState;
  readonly cancelReason: string | null;
  readonly fence: number;
  /** When it was accepted, epoch ms. */
  readonly createdAt: number;
  /** W3C: the span of the request that asked for it, if there was one. */
  readonly traceparent: string | null;
}

/** What an append changes beside the journal. */
export interface JournalEffect {
  readonly state?: OperationState;
  readonly task?: TaskState;
  readonly patch?: InstancePatch;
}

/** How an operation ended, and what that means for its server. */
export interface Ending {
  readonly state: 'done' | 'undone' | 'needs_attention';
  readonly error: ErrorData | null;
  /** `same`: the server stays as it is. */
  readonly vmState: VmState | 'same';
}

/** Thrown by every write whose lease another owner has taken; the holder stops at once and touches nothing more. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost';
}

export interface JournalStore {
  /** Takes up to `limit` operations that are not ended and not leased (or only `id`, if it is one of those). */
  claim(owner: string, leaseMs: number, limit: number, id?: string): Promise<readonly LeasedOperation[]>;
  /**
   * Prolongs the owner's leases on these operations; answers the ids that it still holds, with the reason where they
   * shall be cancelled. Leases on others run out: nobody runs those.
   */
  renew(owner: string, leaseMs: number, ids: readonly string[]): Promise<ReadonlyMap<string, string | null>>;
  /** Gives up every lease of an owner, or of all owners (only when no other process can be alive). */
  release(owner: string | 'everybody'): Promise<void>;
  read(id: string): Promise<readonly JournalEntry[]>;
  append(operation: LeasedOperation, entries: readonly JournalEntry[], effect: JournalEffect): Promise<void>;
  finish(
    operation: LeasedOperation,
    entries: readonly JournalEntry[],
    patch: InstancePatch,
    ending: Ending,
  ): Promise<void>;
  /** Progress is not journaled: losing it loses nothing. */
  progress(operation: LeasedOperation, progress: Progress): Promise<void>;
}
