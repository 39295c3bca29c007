/** Queries of operations as others than the journal's engine see them: accepting, showing, cancelling, resuming. */
import { randomUUID } from 'node:crypto';
import { sql, type Transaction } from 'kysely';
import { CloudError, type ErrorData } from '#domain/errors.ts';
import { TASK_STATES } from '#domain/instance/states.ts';
import { CANCELLABLE, TRANSITIONS, type Transition } from '#domain/instance/transitions.ts';
import type { InstantKind, OperationKind } from '#domain/operation/operation.ts';
import { currentContext } from '#observe/context.ts';
import type { Queries, Schema } from '../database.ts';
import type { ServerRow } from '../tables/compute.ts';
import type { JournalRow, OperationRow } from '../tables/journal.ts';

export interface NewOperation {
  readonly id: string;
  readonly kind: OperationKind;
  readonly version: number;
  readonly serverId: string;
  readonly projectId: string;
  readonly userId: string;
  readonly requestId: string;
  readonly input: unknown;
  readonly secrets: Readonly<Record<string, string>>;
}

/** The row of an operation that nobody has touched yet. */
function newRow(
  operation: Omit<NewOperation, 'kind'> & { readonly kind: OperationRow['kind'] },
  now: number,
): OperationRow {
  return {
    id: operation.id,
    kind: operation.kind,
    version: operation.version,
    server_id: operation.serverId,
    project_id: operation.projectId,
    user_id: operation.userId,
    request_id: operation.requestId,
    traceparent: currentContext()?.traceparent ?? null,
    input: JSON.stringify(operation.input),
    secrets: Object.keys(operation.secrets).length > 0 ? JSON.stringify(operation.secrets) : null,
    state: 'pending',
    error: null,
    progress: null,
    cancel_reason: null,
    lease_owner: null,
    lease_until: 0,
    fence: 0,
    created_at: now,
    updated_at: now,
    finished_at: null,
  };
}

/** Writes the operation's row and the message that wakes a conductor; part of the transaction that accepts it. */
export async function insertOperation(trx: Queries, operation: NewOperation, now: number): Promise<void> {
  await trx.insertInto('operations').values(newRow(operation, now)).execute();
  await trx
    .insertInto('outbox')
    .values({
      id: operation.id,
      message: JSON.stringify({
        operationId: operation.id,
        requestId: operation.requestId,
        traceparent: currentContext()?.traceparent,
      } satisfies OutboxMessage),
      created_at: now,
    })
    .execute();
}

/**
 * Gives a server to an operation: the state table's guard as a compare-and-set. What is in flight is pre-empted where
 * the table says so, and told to undo itself. Throws `instanceChanged` when somebody was faster.
 */
export async function takeServer(
  trx: Queries,
  server: ServerRow,
  operation: NewOperation,
  now: number,
  options: { readonly ifUnchanged?: true; readonly ifSameTask?: true } = {},
): Promise<void> {
  const row: Transition = TRANSITIONS[operation.kind];
  let update = trx
    .updateTable('servers')
    .set((e) => ({
      task_state: row.tasks[0],
      operation_id: operation.id,
      updated_at: now,
      version: e('version', '+', 1),
    }))
    .where('id', '=', server.id)
    .where('deleted_at', 'is', null)
    .where('vm_state', '=', server.vm_state);
  if (options.ifSameTask)
    update = update.where('task_state', server.task_state === null ? 'is' : '=', server.task_state);
  if (options.ifUnchanged) update = update.where('version', '=', server.version).where('task_state', 'is', null);
  if (row.during === 'none') update = update.where('task_state', 'is', null);
  else {
    const during = row.during === 'any' ? TASK_STATES : row.during;
    update = update.where((e) => e.or([e('task_state', 'is', null), e('task_state', 'in', [...during])]));
  }
  // One of a kind at a time: two that each wait for all others to end would wait for each other.
  update = update.where((e) =>
    e.not(
      e.exists(
        e
          .selectFrom('operations')
          .select('operations.id')
          .where('operations.server_id', '=', server.id)
          .where('operations.kind', '=', operation.kind)
          .where('operations.finished_at', 'is', null)
          .where('operations.state', '!=', 'needs_attention'),
      ),
    ),
  );
  const { numUpdatedRows } = await update.executeTakeFirst();
  if (numUpdatedRows === 0n) throw new CloudError('instanceChanged', { id: server.id, action: operation.kind });
  await trx
    .updateTable('operations')
    .set({ cancel_reason: `'${operation.kind}' was asked for`, updated_at: now })
    .where('server_id', '=', server.id)
    .where('id', '!=', operation.id)
    .where('finished_at', 'is', null)
    .where('kind', '!=', operation.kind)
    .execute();
}

/** Something that was done at once or happened by itself, kept for the owner among the operations of the server. */
export interface PastAction {
  readonly kind: OperationKind | InstantKind;
  readonly serverId: string;
  readonly projectId: string;
  readonly userId: string;
  readonly requestId: string;
  /** What there is to say of it. */
  readonly details: string | null;
  readonly error: ErrorData | null;
}

/** Its one step, where there is something to say. */
export const OBSERVED = 'observed';

/** Writes an operation that has ended already; part of the transaction that makes the change. */
export async function recordAction(trx: Queries, action: PastAction, now: number): Promise<void> {
  const id = randomUUID();
  const { details, error, ...asked } = action;
  const row = newRow({ ...asked, id, version: 0, input: {}, secrets: {} }, now);
  const ended = { state: 'done', error: error && JSON.stringify(error), finished_at: now } as const;
  await trx
    .insertInto('operations')
    .values({ ...row, ...ended })
    .execute();
  if (details === null) return;
  const data = JSON.stringify({ details });
  await trx
    .insertInto('journal')
    .values({ operation_id: id, seq: 1, step: OBSERVED, event: 'done', data, at: now })
    .execute();
}

/** When the newest operation of a kind on a server ended without being done; null when it did not. */
export async function lastFailureOf(db: Queries, serverId: string, kind: OperationKind): Promise<number | null> {
  const row = await db
    .selectFrom('operations')
    .select(['state', 'updated_at'])
    .where('server_id', '=', serverId)
    .where('kind', '=', kind)
    .orderBy('created_at', 'desc')
    .executeTakeFirst();
  return row && row.state !== 'done' ? row.updated_at : null;
}

/** Operations of a server, newest first. */
export function listOperations(db: Queries, serverId: string): Promise<OperationRow[]> {
  return db
    .selectFrom('operations')
    .selectAll()
    .where('server_id', '=', serverId)
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(1000)
    .execute();
}

export function findOperationByRequest(
  db: Queries,
  serverId: string,
  requestId: string,
): Promise<OperationRow | undefined> {
  return db
    .selectFrom('operations')
    .selectAll()
    .where('server_id', '=', serverId)
    .where('request_id', '=', requestId)
    .orderBy('created_at')
    .executeTakeFirst();
}

export function findOperation(db: Queries, id: string): Promise<OperationRow | undefined> {
  return db.selectFrom('operations').selectAll().where('id', '=', id).executeTakeFirst();
}

/** The newest operations of the cloud, or those still open. */
export function recentOperations(
  db: Queries,
  options: { readonly open: boolean; readonly limit: number },
): Promise<OperationRow[]> {
  let query = db.selectFrom('operations').selectAll().orderBy('created_at', 'desc').limit(options.limit);
  if (options.open) query = query.where('finished_at', 'is', null);
  return query.execute();
}

export function journalOf(db: Queries, operationId: string): Promise<JournalRow[]> {
  return db.selectFrom('journal').selectAll().where('operation_id', '=', operationId).orderBy('seq').execute();
}

/** Other operations on a server that have not ended. */
export function otherOpenOperations(
  db: Queries,
  serverId: string,
  exceptId: string,
): Promise<Pick<OperationRow, 'id' | 'state'>[]> {
  return db
    .selectFrom('operations')
    .select(['id', 'state'])
    .where('server_id', '=', serverId)
    .where('id', '!=', exceptId)
    .where('finished_at', 'is', null)
    .execute();
}

/**
 * Tells an operation that has not ended to undo itself. Answers false when it has ended, waits for a person already, or is
 * none that can be taken back.
 * Past its point of no return it goes on to its end all the same.
 */
export async function cancelOperation(db: Queries, id: string, reason: string, now: number): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('operations')
    .set((e) => ({ cancel_reason: e.fn.coalesce('cancel_reason', e.val(reason)), updated_at: now }))
    .where('id', '=', id)
    .where('kind', 'in', [...CANCELLABLE])
    .where('finished_at', 'is', null)
    .where('state', '!=', 'needs_attention')
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** Which of these shall be undone. */
export function cancelledOperations(
  db: Queries,
  ids: readonly string[],
): Promise<Pick<OperationRow, 'id' | 'cancel_reason'>[]> {
  return db
    .selectFrom('operations')
    .select(['id', 'cancel_reason'])
    .where('id', 'in', [...ids])
    .where('cancel_reason', 'is not', null)
    .where('finished_at', 'is', null)
    .execute();
}

/**
 * Lets an operation that needs attention go on where it stopped, with its server to itself. Answers false when it is in another
 * state, or when something else has the server now. Two changes: only a transaction keeps a server from being given to what does
 * not go on.
 */
export async function resumeOperation(trx: Transaction<Schema>, id: string, now: number): Promise<boolean> {
  const operation = await findOperation(trx, id);
  if (operation?.state !== 'needs_attention') return false;
  const row: Transition | undefined = TRANSITIONS[operation.kind as OperationKind];
  const { numUpdatedRows } = await trx
    .updateTable('servers')
    .set((e) => ({
      ...(row && { task_state: row.tasks[0] }),
      operation_id: id,
      updated_at: now,
      version: e('version', '+', 1),
    }))
    .where('id', '=', operation.server_id)
    .where('task_state', 'is', null)
    .executeTakeFirst();
  return numUpdatedRows > 0n && retryOperation(trx, id, now);
}

/** The same for one that is only to be ended, under something stronger that has its server. */
export async function retryOperation(trx: Queries, id: string, now: number): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable('operations')
    .set({ state: 'running', error: null, updated_at: now })
    .where('id', '=', id)
    .where('state', '=', 'needs_attention')
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** Ends an operation that needs attention as it is; its server stays as it is, and what was left behind is the operator's. */
export async function abandonOperation(trx: Queries, id: string, now: number): Promise<boolean> {
  const row = await trx
    .updateTable('operations')
    .set({ state: 'abandoned', finished_at: now, updated_at: now, secrets: null })
    .where('id', '=', id)
    .where('state', '=', 'needs_attention')
    .returning('server_id')
    .executeTakeFirst();
  if (!row) return false;
  await trx
    .updateTable('servers')
    .set({ operation_id: null, task_state: null, updated_at: now, version: sql`version + 1` })
    .where('operation_id', '=', id)
    .execute();
  return true;
}

/** Abandons whatever of a server waits for a person. */
export async function abandonStuck(trx: Queries, serverId: string, now: number): Promise<void> {
  await trx
    .updateTable('operations')
    .set({ state: 'abandoned', finished_at: now, updated_at: now, secrets: null })
    .where('server_id', '=', serverId)
    .where('state', '=', 'needs_attention')
    .execute();
}

/** What the outbox holds: an operation to be looked at, and the request that asked for it. */
export interface OutboxMessage {
  readonly operationId: string;
  readonly requestId: string;
  /** W3C: the span of the request. */
  readonly traceparent?: string | undefined;
}

/** Messages that wait to be sent, oldest first. */
export async function waitingMessages(db: Queries, limit: number): Promise<OutboxMessage[]> {
  const rows = await db.selectFrom('outbox').select('message').orderBy('created_at').limit(limit).execute();
  return rows.map((row) => JSON.parse(row.message) as OutboxMessage);
}

/** Removes the messages about these operations. */
export async function removeMessages(db: Queries, ids: readonly string[]): Promise<void> {
  if (ids.length > 0)
    await db
      .deleteFrom('outbox')
      .where('id', 'in', [...ids])
      .execute();
}
