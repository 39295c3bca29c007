/** Queries of the moves of servers. A move is in progress from its acceptance until its status is one of `ENDED`. */
import type { FlavorSnapshot } from '#domain/instance/flavor.ts';
import type { MigrationPatch } from '#journal/define.ts';
import type { Queries } from '../database.ts';
import type { MigrationStatus, ServerMigrationRow, ServerRow } from '../tables/compute.ts';

/** Nothing more becomes of a move in one of these; `finished` waits to be confirmed or reverted. */
export const ENDED: readonly MigrationStatus[] = ['confirmed', 'reverted', 'completed', 'done', 'cancelled', 'error'];
/** The ends after which the server lives where it was put, and nothing of it belongs where it came from. */
const LEFT_THE_SOURCE: readonly MigrationStatus[] = ['confirmed', 'completed', 'done'];

export interface NewMigration {
  readonly uuid: string;
  readonly type: ServerMigrationRow['type'];
  readonly newFlavor: FlavorSnapshot;
}

/** Writes the row of a move that begins; part of the transaction that accepts its operation. */
export async function insertMigration(
  trx: Queries,
  server: ServerRow & { readonly host: string },
  { uuid, type, newFlavor }: NewMigration,
  asked: { readonly operationId: string; readonly userId: string },
  now: number,
): Promise<void> {
  const { last } = await trx
    .selectFrom('server_migrations')
    .select((e) => e.fn.max('id').as('last'))
    .executeTakeFirstOrThrow();
  await trx
    .insertInto('server_migrations')
    .values({
      id: (last ?? 0) + 1,
      uuid,
      server_id: server.id,
      project_id: server.project_id,
      user_id: asked.userId,
      type,
      status: 'accepted',
      source_host: server.host,
      dest_host: null,
      old_flavor: server.flavor,
      new_flavor: JSON.stringify(newFlavor),
      operation_id: asked.operationId,
      created_at: now,
      updated_at: now,
    })
    .execute();
}

/** Gives a finished move to the operation that confirms or reverts it. */
export async function takeMigration(
  trx: Queries,
  uuid: string,
  status: 'confirming' | 'reverting',
  operationId: string,
  now: number,
): Promise<void> {
  await trx
    .updateTable('server_migrations')
    .set({ status, operation_id: operationId, updated_at: now })
    .where('uuid', '=', uuid)
    .execute();
}

/** What a step changes of the move that its operation works on. */
export async function changeMigration(
  trx: Queries,
  operationId: string,
  patch: MigrationPatch,
  now: number,
): Promise<void> {
  await trx
    .updateTable('server_migrations')
    .set({
      updated_at: now,
      ...(patch.status !== undefined && { status: patch.status }),
      ...(patch.destHost !== undefined && { dest_host: patch.destHost }),
    })
    .where('operation_id', '=', operationId)
    .execute();
}

/**
 * The move of an operation that was not done: one that was begun by it is over, one that it was to confirm or revert waits for
 * that again.
 */
export async function failMigration(
  trx: Queries,
  operationId: string,
  as: 'cancelled' | 'error',
  now: number,
): Promise<void> {
  await trx
    .updateTable('server_migrations')
    .set({ status: 'finished', updated_at: now })
    .where('operation_id', '=', operationId)
    .where('status', 'in', ['confirming', 'reverting'])
    .execute();
  await trx
    .updateTable('server_migrations')
    .set({ status: as, updated_at: now })
    .where('operation_id', '=', operationId)
    .where('status', 'not in', [...ENDED, 'finished'])
    .execute();
}

/** A server that is gone has no move any more that could be confirmed. */
export async function endMigrations(trx: Queries, serverId: string, now: number): Promise<void> {
  await trx
    .updateTable('server_migrations')
    .set({ status: 'confirmed', updated_at: now })
    .where('server_id', '=', serverId)
    .where('status', '=', 'finished')
    .execute();
}

/** Whether any move from or to the host is under way. */
export async function isMovingFromOrTo(db: Queries, host: string): Promise<boolean> {
  const row = await db
    .selectFrom('server_migrations')
    .select('id')
    .where((e) => e.or([e('source_host', '=', host), e('dest_host', '=', host)]))
    .where('status', 'not in', [...ENDED])
    .executeTakeFirst();
  return row !== undefined;
}

/** The move of a server that waits to be confirmed or reverted. */
export function finishedMigration(db: Queries, serverId: string): Promise<ServerMigrationRow | undefined> {
  return db
    .selectFrom('server_migrations')
    .selectAll()
    .where('server_id', '=', serverId)
    .where('status', '=', 'finished')
    .orderBy('id', 'desc')
    .executeTakeFirst();
}

/**
 * Whether the record says that nothing of the server belongs on that host any more: the last move that touched the host ended
 * elsewhere. Without a recorded move nobody knows, and the answer is no.
 */
export async function hasLeft(db: Queries, serverId: string, host: string): Promise<boolean> {
  const last = await db
    .selectFrom('server_migrations')
    .select(['status', 'source_host', 'dest_host'])
    .where('server_id', '=', serverId)
    .where((e) => e.or([e('source_host', '=', host), e('dest_host', '=', host)]))
    .orderBy('id', 'desc')
    .executeTakeFirst();
  if (!last || last.source_host === last.dest_host || !ENDED.includes(last.status)) return false;
  return LEFT_THE_SOURCE.includes(last.status) ? last.source_host === host : last.dest_host === host;
}
