/** Queries of what keeps hosts busy, and of what went wrong on them lately; the scheduler weighs hosts by it. */
import type { OperationKind } from '#domain/operation/operation.ts';
import type { Queries } from '../database.ts';

/** How many operations are open for servers that have room on each host, or on one; a host with none is not there. */
export async function openOperationsByHost(db: Queries, host?: string): Promise<Map<string, number>> {
  let query = db
    .selectFrom('operations')
    .innerJoin('allocations', 'allocations.server_id', 'operations.server_id')
    .select((e) => ['allocations.host', e.fn.count<number>('operations.id').as('open')])
    .where('operations.finished_at', 'is', null)
    .groupBy('allocations.host');
  if (host !== undefined) query = query.where('allocations.host', '=', host);
  return new Map((await query.execute()).map((row) => [row.host, Number(row.open)]));
}

/** Those that make a guest on a host that the scheduler picked in their step `SCHEDULE`. */
const BUILDS: readonly OperationKind[] = ['create', 'unshelve'];
const SCHEDULE = 'schedule';
/** More than these say nothing new. */
const MOST = 1000;

/**
 * How many guests could not be made on each host since then. One that was cancelled is nobody's failure, and one that found no
 * host is on none.
 */
export async function failedBuildsByHost(db: Queries, since: number): Promise<Map<string, number>> {
  const rows = await db
    .selectFrom('operations')
    .innerJoin('journal', 'journal.operation_id', 'operations.id')
    .select(['operations.id', 'journal.data'])
    .where('operations.error', 'is not', null)
    .where('operations.finished_at', '>=', since)
    .where('operations.kind', 'in', [...BUILDS])
    .where('operations.cancel_reason', 'is', null)
    .where('journal.step', '=', SCHEDULE)
    .where('journal.event', '=', 'done')
    .orderBy('operations.finished_at', 'desc')
    .limit(MOST)
    .execute();
  const hostOf = new Map(
    rows.map(({ id, data }) => [id, data === null ? '' : (JSON.parse(data) as { host: string }).host]),
  );
  const failures = new Map<string, number>();
  for (const host of hostOf.values()) failures.set(host, (failures.get(host) ?? 0) + 1);
  return failures;
}
