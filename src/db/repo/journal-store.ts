/**
 * The journal in the database. Writes of operations that run at the same time share one transaction, since the commit
 * is what costs; each stays all or nothing by itself, because its first statement is the fence check.
 */
import { sql, type Transaction } from 'kysely';
import type { OperationKind } from '#domain/operation/operation.ts';
import type { InstancePatch } from '#journal/define.ts';
import {
  type Ending,
  type JournalEffect,
  type JournalEntry,
  type JournalStore,
  type LeasedOperation,
  LeaseLost,
} from '#journal/store.ts';
import type { Database, Queries, Schema } from '../database.ts';
import type { OperationRow } from '../tables/journal.ts';
import { removeMessages } from './operations.ts';
import { changeMigration, endMigrations, failMigration } from './server-migrations.ts';
import { changedColumns, changeServer, changeServerTakenOver, type ServerPatch } from './servers.ts';

/** `known`: the versions of operations that are known here; those of newer ones are left to who knows them. All, where not given. */
export function journalStore(
  db: Database,
  now: () => number = Date.now,
  known?: Readonly<Partial<Record<OperationKind, number>>>,
): JournalStore {
  // Each begins with the row of its operation.
  const commit = db.commitGuarded;

  /** The fence check, and the operation's own change. Zero rows: another owner has it, and nothing is written. */
  const guarded = async (
    trx: Transaction<Schema>,
    operation: LeasedOperation,
    change: Partial<OperationRow>,
  ): Promise<void> => {
    const { numUpdatedRows } = await trx
      .updateTable('operations')
      .set({ ...change, updated_at: now() })
      .where('id', '=', operation.id)
      .where('fence', '=', operation.fence)
      .where('finished_at', 'is', null)
      .executeTakeFirst();
    if (numUpdatedRows === 0n) throw new LeaseLost(`operation ${operation.id} has another owner`);
  };

  const addEntries = async (trx: Transaction<Schema>, id: string, entries: readonly JournalEntry[]): Promise<void> => {
    if (entries.length === 0) return;
    const { last } = await trx
      .selectFrom('journal')
      .select((e) => e.fn.max('seq').as('last'))
      .where('operation_id', '=', id)
      .executeTakeFirstOrThrow();
    const rows = entries.map(({ step, event, data }, index) => ({
      operation_id: id,
      seq: (last ?? 0) + index + 1,
      step,
      event,
      data: data === null ? null : JSON.stringify(data),
      at: now(),
    }));
    await trx.insertInto('journal').values(rows).execute();
  };

  /** The row of the operation's server; of one that a stronger operation has taken over only `facts`. */
  const change = async (trx: Queries, operation: LeasedOperation, patch: ServerPatch, facts: ServerPatch) => {
    if (Object.keys(patch).length === 0) return;
    const isItsOwn = await changeServer(trx, operation.serverId, operation.id, patch, now());
    if (!isItsOwn) await changeServerTakenOver(trx, operation.serverId, facts, now());
  };

  return {
    async claim(owner, leaseMs, limit, id) {
      return commit(async (trx) => {
        let free = trx
          .selectFrom('operations')
          .select(['id', 'fence'])
          .where('finished_at', 'is', null)
          .where('state', '!=', 'needs_attention')
          .where((e) => e.or([e('lease_owner', 'is', null), e('lease_until', '<', now())]));
        if (known) free = free.where('version', '<=', newestOf(known));
        if (id !== undefined) free = free.where('id', '=', id);
        if (db.runsSideBySide) free = free.forUpdate().skipLocked();
        const claimed: LeasedOperation[] = [];
        for (const found of await free.orderBy('created_at').limit(limit).execute()) {
          const row = await trx
            .updateTable('operations')
            .set({ lease_owner: owner, lease_until: now() + leaseMs, fence: found.fence + 1 })
            .where('id', '=', found.id)
            .where('fence', '=', found.fence)
            .returningAll()
            .executeTakeFirst();
          if (row) claimed.push(leased(row));
        }
        // Whoever holds an operation needs no message about it.
        await removeMessages(
          trx,
          claimed.map((operation) => operation.id),
        );
        return claimed;
      });
    },

    async renew(owner, leaseMs, ids) {
      if (ids.length === 0) return new Map();
      const rows = await db.queries
        .updateTable('operations')
        .set({ lease_until: now() + leaseMs })
        .where('lease_owner', '=', owner)
        .where('id', 'in', [...ids])
        .where('finished_at', 'is', null)
        .returning(['id', 'cancel_reason'])
        .execute();
      return new Map(rows.map((row) => [row.id, row.cancel_reason]));
    },

    async release(owner) {
      let update = db.queries
        .updateTable('operations')
        .set({ lease_owner: null, lease_until: 0 })
        .where('finished_at', 'is', null);
      if (owner !== 'everybody') update = update.where('lease_owner', '=', owner);
      await update.execute();
    },

    async read(id) {
      const rows = await db.queries
        .selectFrom('journal')
        .selectAll()
        .where('operation_id', '=', id)
        .orderBy('seq')
        .execute();
      return rows.map((row) => ({
        step: row.step,
        event: row.event,
        data: row.data === null ? null : JSON.parse(row.data),
      }));
    },

    append: (operation, entries, effect: JournalEffect) =>
      commit(async (trx) => {
        await guarded(trx, operation, { ...(effect.state && { state: effect.state }) });
        await addEntries(trx, operation.id, entries);
        const facts = serverPatch(effect.patch ?? {});
        await change(trx, operation, effect.task ? { ...facts, task_state: effect.task } : facts, facts);
        if (effect.patch?.migration) await changeMigration(trx, operation.id, effect.patch.migration, now());
      }),

    finish: (operation, entries, instance, ending: Ending) =>
      commit(async (trx) => {
        const ended = ending.state !== 'needs_attention';
        await guarded(trx, operation, {
          state: ending.state,
          error: ending.error === null ? null : JSON.stringify(ending.error),
          progress: null,
          lease_owner: null,
          lease_until: 0,
          ...(ended && { finished_at: now(), secrets: null }),
        });
        await addEntries(trx, operation.id, entries);
        const vmState = ending.vmState === 'same' ? {} : { vm_state: ending.vmState };
        const patch: ServerPatch = { ...serverPatch(instance), ...vmState, task_state: null };
        if (ended) patch.operation_id = null;
        if (ending.vmState === 'error' && ending.error) {
          patch.fault = JSON.stringify({ code: 500, message: ending.error.message, created: now() });
        }
        // Where a failure would leave it is for the stronger one to say.
        const facts = { ...serverPatch(instance), ...(ending.state === 'done' && vmState) };
        await change(trx, operation, patch, facts);
        if (instance.migration) await changeMigration(trx, operation.id, instance.migration, now());
        if (ending.state !== 'done') {
          const as = ending.error?.code === 'cancelled' ? 'cancelled' : 'error';
          await failMigration(trx, operation.id, as, now());
        }
        if (instance.deletedAt !== undefined) await endMigrations(trx, operation.serverId, now());
      }),

    async progress(operation, progress) {
      await commit(async (trx) => guarded(trx, operation, { progress: JSON.stringify(progress) }));
    },
  };
}

function leased(row: OperationRow): LeasedOperation {
  return {
    id: row.id,
    // Instant ones have ended, and are never claimed.
    kind: row.kind as OperationKind,
    version: row.version,
    serverId: row.server_id,
    projectId: row.project_id,
    userId: row.user_id,
    requestId: row.request_id,
    input: JSON.parse(row.input),
    secrets: row.secrets === null ? {} : (JSON.parse(row.secrets) as Record<string, string>),
    state: row.state,
    cancelReason: row.cancel_reason,
    fence: row.fence,
    createdAt: row.created_at,
    traceparent: row.traceparent,
  };
}

function serverPatch(patch: InstancePatch): ServerPatch {
  return {
    ...(patch.host !== undefined && { host: patch.host }),
    ...(patch.availabilityZone !== undefined && { availability_zone: patch.availabilityZone }),
    ...(patch.vmState !== undefined && { vm_state: patch.vmState }),
    ...(patch.powerState !== undefined && { power_state: patch.powerState }),
    ...(patch.launchedAt !== undefined && { launched_at: patch.launchedAt }),
    ...(patch.terminatedAt !== undefined && { terminated_at: patch.terminatedAt }),
    ...(patch.deletedAt !== undefined && { deleted_at: patch.deletedAt }),
    ...(patch.shelvedImageId !== undefined && { shelved_image_id: patch.shelvedImageId }),
    ...(patch.shelvedAt !== undefined && { shelved_at: patch.shelvedAt }),
    ...(patch.softDeletedAt !== undefined && { soft_deleted_at: patch.softDeletedAt }),
    ...(patch.changes && changedColumns(patch.changes)),
  };
}

/** The newest version that is known of a row's kind; 0 of one that is not. */
function newestOf(known: Readonly<Partial<Record<OperationKind, number>>>) {
  const kinds = Object.entries(known).map(([kind, version]) => sql`when ${kind} then ${sql.lit(version)}`);
  return sql<number>`case kind ${sql.join(kinds, sql` `)} else 0 end`;
}
