/** Queries of the cloud's processes other than compute hosts, and the numbers that both have. */
import { randomUUID } from 'node:crypto';
import type { Queries } from '../database.ts';
import type { ServiceRow } from '../tables/operating.ts';

/** The next number for a host or a service; in the transaction that uses it. */
export async function nextServiceNumber(trx: Queries): Promise<number> {
  const { last } = await trx
    .selectFrom('hosts')
    .select((e) => e.fn.max('number').as('last'))
    .executeTakeFirstOrThrow();
  const { other } = await trx
    .selectFrom('services')
    .select((e) => e.fn.max('number').as('other'))
    .executeTakeFirstOrThrow();
  return Math.max(last ?? 0, other ?? 0) + 1;
}

/** The process lives; written down as new where it is not known. In a transaction, for its number. */
export async function beatService(
  trx: Queries,
  { role, host }: Pick<ServiceRow, 'role' | 'host'>,
  now: number,
): Promise<void> {
  const { numUpdatedRows } = await trx
    .updateTable('services')
    .set({ seen_at: now })
    .where('role', '=', role)
    .where('host', '=', host)
    .executeTakeFirst();
  if (numUpdatedRows > 0n) return;
  const number = await nextServiceNumber(trx);
  await trx
    .insertInto('services')
    .values({ id: randomUUID(), number, role, host, seen_at: now, created_at: now })
    .execute();
}

export function listServices(db: Queries): Promise<ServiceRow[]> {
  return db.selectFrom('services').selectAll().orderBy('number').execute();
}

/** One that still runs writes itself down again. Answers false where there was none. */
export async function deleteService(db: Queries, id: string): Promise<boolean> {
  const { numDeletedRows } = await db.deleteFrom('services').where('id', '=', id).executeTakeFirst();
  return numDeletedRows > 0n;
}
