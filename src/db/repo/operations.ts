/** Queries of operations as others than the journal's engine see them: accepting, showing, cancelling, resuming. */
import { sql } from 'kysely';
import { CloudError } from '#domain/errors.ts';
import { TRANSITIONS, type Transition } from '#domain/instance/states.ts';
import type { OperationKind } from '#domain/operation/operation.ts';
import type { Queries } from '../database.ts';
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

/** Writes the operation's row and the message that wakes a conductor; part of the transaction that accepts it. */
export async function insertOperation(trx: Queries, operation: NewOperation, now: number): Promise<void> {
  await trx
    .insertInto('operations')
    .values({
      id: operation.id,
      kind: operation.kind,
      version: operation.version,
      server_id: operation.serverId,
      project_id: operation.projectId,
      user_id: operation.userId,
      request_id: operation.requestId,
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
    })
    .execute();
  await trx
    .insertInto('outbox')
    .values({
      id: operation.id,
      message: JSON.stringify({ operationId: operation.id, requestId: operation.requestId } satisfies OutboxMessage),
      created_at: now,
    })
    .execute();
}

/**
 * Gives a server to an operation: the state table's guard as a compare-and-set. What is in flight is pre-empted where
 * the table says so, and told to undo itself. Throws the same 409 as the guard when somebody was faster.
 */
export async function takeServer(trx: Queries, server: ServerRow, operation: NewOperation, now: number): Promise<void> {
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
  if (row.during === 'none') update = update.where('task_state', 'is', null);
  // One of a kind at a time: two that each wait for all others to end would wait for each other.
  else update = update.where((e) => e.or([e('task_state', 'is', null), e('task_state', '!=', row.tasks[0])]));
  const { numUpdatedRows } = await update.executeTakeFirst();
  if (numUpdatedRows === 0n) {
    throw new CloudError('conflict', {
      reason: `Instance ${server.id} changed while '${operation.kind}' was asked for; try again.`,
    });
  }
  await trx
    .updateTable('operations')
    .set({ cancel_reason: `'${operation.kind}' was asked for`, updated_at: now })
    .where('server_id', '=', server.id)
    .where('id', '!=', operation.id)
    .where('finished_at', 'is', null)
    .where('kind', '!=', operation.kind)
    .execute();
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

/** Lets an operation that needs attention try again where it stopped. Answers false when it is in another state. */
export async function resumeOperation(trx: Queries, id: string, now: number): Promise<boolean> {
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

/** What the outbox holds: an operation to be looked at, and the request that asked for it. */
export interface OutboxMessage {
  readonly operationId: string;
  readonly requestId: string;
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
