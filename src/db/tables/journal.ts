/** The conductor's tables: operations, what they did, and the messages that wait to be sent. Times are epoch ms. */
import type { InstantKind, OperationKind, OperationState } from '#domain/operation/operation.ts';
import type { JournalEvent } from '#journal/store.ts';

export interface OperationRow {
  id: string;
  /** Of an instant kind only when it has ended already. */
  kind: OperationKind | InstantKind;
  /** Of the operation's definition; a definition of another version does not touch it. */
  version: number;
  server_id: string;
  project_id: string;
  user_id: string;
  request_id: string;
  /** W3C: the span of the request, so that whoever runs it, whenever, goes on with its trace. Null where there is none. */
  traceparent: string | null;
  /** JSON, checked by the definition's schema. */
  input: string;
  /** JSON, or null. Emptied when the operation ends; never shown. */
  secrets: string | null;
  state: OperationState;
  /** JSON, `ErrorData`, when it failed. */
  error: string | null;
  /** JSON `{step, done, total, unit}` of the running step. */
  progress: string | null;
  /** Why it should stop and undo; null: it should not. */
  cancel_reason: string | null;
  lease_owner: string | null;
  lease_until: number;
  /** Counts the owners; a write by an earlier owner is refused. */
  fence: number;
  created_at: number;
  updated_at: number;
  finished_at: number | null;
}

export interface JournalRow {
  operation_id: string;
  seq: number;
  step: string;
  event: JournalEvent;
  /** JSON: a step's output, or `ErrorData` of a failure. */
  data: string | null;
  at: number;
}

export interface OutboxRow {
  id: string;
  /** JSON, the message for the bus. */
  message: string;
  created_at: number;
}

export interface JournalTables {
  operations: OperationRow;
  journal: JournalRow;
  outbox: OutboxRow;
}
