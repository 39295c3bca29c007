/** Queries of aggregates: named sets of hosts with metadata. A host may be in many, and in one availability zone. */
import { randomUUID } from 'node:crypto';
import type { Queries } from '../database.ts';
import type { HostRow } from '../tables/compute.ts';
import type { AggregateRow } from '../tables/operating.ts';

/** The key of an aggregate's metadata that names the zone of its hosts. */
export const ZONE_KEY = 'availability_zone';

export type AggregateMetadata = Readonly<Record<string, string>>;

/** The zone of a host: what its aggregates say, else what it says of itself. Nobody else decides that. */
export function zoneOf(
  host: Pick<HostRow, 'availability_zone'>,
  aggregates: readonly AggregateMetadata[] | undefined,
): string {
  return aggregates?.find((metadata) => metadata[ZONE_KEY])?.[ZONE_KEY] ?? host.availability_zone;
}

/** The metadata of the aggregates that each host is in, or one host; a host in none is not there. */
export async function aggregatesByHost(db: Queries, host?: string): Promise<Map<string, AggregateMetadata[]>> {
  let query = db
    .selectFrom('aggregate_hosts')
    .innerJoin('aggregates', 'aggregates.id', 'aggregate_hosts.aggregate_id')
    .select(['aggregate_hosts.host', 'aggregates.metadata'])
    .orderBy('aggregates.id');
  if (host !== undefined) query = query.where('aggregate_hosts.host', '=', host);
  const grouped = Map.groupBy(await query.execute(), (row) => row.host);
  return new Map(
    [...grouped].map(([name, rows]) => [name, rows.map(({ metadata }) => JSON.parse(metadata) as AggregateMetadata)]),
  );
}

export function listAggregates(db: Queries): Promise<AggregateRow[]> {
  return db.selectFrom('aggregates').selectAll().orderBy('id').execute();
}

export function findAggregate(db: Queries, id: number): Promise<AggregateRow | undefined> {
  return db.selectFrom('aggregates').selectAll().where('id', '=', id).executeTakeFirst();
}

/** The hosts of each aggregate that has any, by name. */
export async function hostsByAggregate(db: Queries, id?: number): Promise<Map<number, string[]>> {
  let query = db.selectFrom('aggregate_hosts').selectAll().orderBy('host');
  if (id !== undefined) query = query.where('aggregate_id', '=', id);
  const grouped = Map.groupBy(await query.execute(), (row) => row.aggregate_id);
  return new Map([...grouped].map(([aggregate, rows]) => [aggregate, rows.map(({ host }) => host)]));
}

/** In a transaction, for its number. Throws a unique violation where the name is taken. */
export async function insertAggregate(
  trx: Queries,
  { name, metadata }: { readonly name: string; readonly metadata: AggregateMetadata },
  now: number,
): Promise<AggregateRow> {
  const { last } = await trx
    .selectFrom('aggregates')
    .select((e) => e.fn.max('id').as('last'))
    .executeTakeFirstOrThrow();
  const row: AggregateRow = {
    id: (last ?? 0) + 1,
    uuid: randomUUID(),
    name,
    metadata: JSON.stringify(metadata),
    created_at: now,
    updated_at: null,
  };
  await trx.insertInto('aggregates').values(row).execute();
  return row;
}

/** Answers it as it is then. Throws a unique violation where the name is taken. */
export function changeAggregate(
  trx: Queries,
  id: number,
  { name, metadata }: { readonly name?: string | undefined; readonly metadata?: AggregateMetadata | undefined },
  now: number,
): Promise<AggregateRow> {
  return trx
    .updateTable('aggregates')
    .set({
      updated_at: now,
      ...(name !== undefined && { name }),
      ...(metadata !== undefined && { metadata: JSON.stringify(metadata) }),
    })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

export async function deleteAggregate(trx: Queries, id: number): Promise<void> {
  await trx.deleteFrom('aggregates').where('id', '=', id).execute();
}

/** Throws a unique violation where it is in already. */
export async function addToAggregate(trx: Queries, id: number, host: string): Promise<void> {
  await trx.insertInto('aggregate_hosts').values({ aggregate_id: id, host }).execute();
}

/** Answers false where it was not in. */
export async function removeFromAggregate(trx: Queries, id: number, host: string): Promise<boolean> {
  const { numDeletedRows } = await trx
    .deleteFrom('aggregate_hosts')
    .where('aggregate_id', '=', id)
    .where('host', '=', host)
    .executeTakeFirst();
  return numDeletedRows > 0n;
}
