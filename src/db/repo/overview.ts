/** Counts over the whole record, for those who watch the cloud. Each is one look at its table. */
import type { Queries } from '../database.ts';

/** Operations that have not ended, and when the oldest of each was accepted (epoch ms). */
export async function openOperations(
  db: Queries,
): Promise<{ readonly kind: string; readonly state: string; readonly count: number; readonly oldest: number }[]> {
  const rows = await db
    .selectFrom('operations')
    .select((e) => ['kind', 'state', e.fn.countAll<number>().as('count'), e.fn.min('created_at').as('oldest')])
    .where('finished_at', 'is', null)
    .groupBy(['kind', 'state'])
    .execute();
  return rows.map(({ kind, state, count, oldest }) => ({ kind, state, count: Number(count), oldest: Number(oldest) }));
}

/** Messages that no conductor has heeded; `oldest` is null when there is none. */
export async function waitingOutbox(db: Queries): Promise<{ readonly count: number; readonly oldest: number | null }> {
  const { count, oldest } = await db
    .selectFrom('outbox')
    .select((e) => [e.fn.countAll<number>().as('count'), e.fn.min('created_at').as('oldest')])
    .executeTakeFirstOrThrow();
  return { count: Number(count), oldest };
}

/** Servers that are not deleted; `host` is null for those that have none. */
export async function serversByHost(
  db: Queries,
): Promise<{ readonly host: string | null; readonly state: string; readonly count: number }[]> {
  const rows = await db
    .selectFrom('servers')
    .select((e) => ['host', 'vm_state', e.fn.countAll<number>().as('count')])
    .where('deleted_at', 'is', null)
    .groupBy(['host', 'vm_state'])
    .execute();
  return rows.map(({ host, vm_state, count }) => ({ host, state: vm_state, count: Number(count) }));
}

export async function imagesByStatus(
  db: Queries,
): Promise<{ readonly status: string; readonly count: number; readonly bytes: number }[]> {
  const rows = await db
    .selectFrom('images')
    .select((e) => ['status', e.fn.countAll<number>().as('count'), e.fn.sum<number>('size').as('bytes')])
    .groupBy('status')
    .execute();
  return rows.map(({ status, count, bytes }) => ({ status, count: Number(count), bytes: Number(bytes ?? 0) }));
}
