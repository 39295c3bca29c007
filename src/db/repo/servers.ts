/** Queries of the servers table. */
import { type Expression, type Selectable, sql } from 'kysely';
import type { VmState } from '#domain/instance/states.ts';
import type { Queries } from '../database.ts';
import type { ServerRow } from '../tables/compute.ts';

export type ServerPatch = Partial<Omit<ServerRow, 'id' | 'version' | 'created_at'>>;

/** Changes the row for an operation, as long as the server still belongs to it; a stronger one may have taken it over. */
export async function changeServer(
  db: Queries,
  id: string,
  operationId: string,
  patch: ServerPatch,
  now: number,
): Promise<void> {
  if (Object.keys(patch).length === 0) return;
  await db
    .updateTable('servers')
    .set((e) => ({ ...patch, updated_at: now, version: e('version', '+', 1) }))
    .where('id', '=', id)
    .where('operation_id', '=', operationId)
    .execute();
}

/** Changes a row that no operation is working on; answers whether it was so. */
export async function changeIdleServer(db: Queries, id: string, patch: ServerPatch, now: number): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('servers')
    .set((e) => ({ ...patch, updated_at: now, version: e('version', '+', 1) }))
    .where('id', '=', id)
    .where('operation_id', 'is', null)
    .where('deleted_at', 'is', null)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** Changes what the owner may change at any time (name, metadata, …). */
export async function updateServer(db: Queries, id: string, patch: ServerPatch, now: number): Promise<void> {
  await db
    .updateTable('servers')
    .set((e) => ({ ...patch, updated_at: now, version: e('version', '+', 1) }))
    .where('id', '=', id)
    .execute();
}

export async function insertServers(db: Queries, rows: readonly Selectable<ServerRow>[]): Promise<void> {
  for (const row of rows) await db.insertInto('servers').values(row).execute();
}

/** A server that is not deleted; of any project when `projectId` is null. */
export async function findServer(db: Queries, id: string, projectId: string | null): Promise<ServerRow | undefined> {
  let query = db.selectFrom('servers').selectAll().where('id', '=', id).where('deleted_at', 'is', null);
  if (projectId !== null) query = query.where('project_id', '=', projectId);
  return query.executeTakeFirst();
}

/** A server, deleted or not. */
export async function findServerEver(
  db: Queries,
  id: string,
  projectId: string | null,
): Promise<ServerRow | undefined> {
  let query = db.selectFrom('servers').selectAll().where('id', '=', id);
  if (projectId !== null) query = query.where('project_id', '=', projectId);
  return query.executeTakeFirst();
}

export interface ServerFilter {
  /** Null: every project. */
  readonly projectId: string | null;
  readonly deleted: boolean;
  readonly vmStates?: readonly VmState[];
  /** Says for each name whether it matches. */
  readonly name?: (names: readonly string[]) => readonly boolean[];
  readonly equals: Partial<Pick<ServerRow, 'image_id' | 'host' | 'user_id' | 'reservation_id' | 'key_name' | 'locked'>>;
  readonly flavorId?: string;
  readonly ids?: readonly string[];
  /** Epoch ms; compares `updated_at`. */
  readonly changedSince?: number;
  readonly changedBefore?: number;
  readonly availabilityZone?: string;
}

export type ServerSortKey =
  | 'created_at'
  | 'updated_at'
  | 'name'
  | 'id'
  | 'vm_state'
  | 'host'
  | 'launched_at'
  | 'hostname';

export interface ServerPage {
  readonly sort: readonly { readonly key: ServerSortKey; readonly dir: 'asc' | 'desc' }[];
  /** The row after which the page begins. */
  readonly after?: ServerRow;
  readonly limit: number;
}

/** Enough of a row to find its rendering in a cache. */
export type ServerRef = Pick<ServerRow, 'id' | 'version' | 'name'>;

/**
 * Servers in the order asked for; ties are broken by id, so that paging sees each exactly once. Only references: whole
 * rows are large, and most are rendered already.
 */
export async function listServers(db: Queries, filter: ServerFilter, page: ServerPage): Promise<ServerRef[]> {
  let query = db.selectFrom('servers').select(['id', 'version', 'name']);
  query = filter.deleted ? query.where('deleted_at', 'is not', null) : query.where('deleted_at', 'is', null);
  if (filter.projectId !== null) query = query.where('project_id', '=', filter.projectId);
  // An empty list matches nothing, and neither engine takes an empty `in ()`.
  if (filter.vmStates?.length === 0 || filter.ids?.length === 0) return [];
  if (filter.vmStates) query = query.where('vm_state', 'in', [...filter.vmStates]);
  if (filter.ids) query = query.where('id', 'in', [...filter.ids]);
  if (filter.flavorId !== undefined)
    query = query.where('flavor', 'like', `{"id":${JSON.stringify(filter.flavorId)},%`);
  if (filter.changedSince !== undefined) query = query.where('updated_at', '>=', filter.changedSince);
  if (filter.changedBefore !== undefined) query = query.where('updated_at', '<=', filter.changedBefore);
  if (filter.availabilityZone !== undefined) query = query.where('availability_zone', '=', filter.availabilityZone);
  for (const [key, value] of Object.entries(filter.equals)) query = query.where(key as 'host', '=', value as string);
  const order = [...page.sort, { key: 'id' as const, dir: page.sort[0]?.dir ?? 'desc' }];
  const { after } = page;
  if (after) {
    query = query.where((e) =>
      e.or(
        order.map(({ key, dir }, index) =>
          e.and([
            ...order.slice(0, index).map((earlier) => e(sortable(earlier.key), '=', sortValue(after, earlier.key))),
            e(sortable(key), dir === 'asc' ? '>' : '<', sortValue(after, key)),
          ]),
        ),
      ),
    );
  }
  for (const { key, dir } of order) query = query.orderBy(sortable(key), dir);
  if (!filter.name) return query.limit(page.limit).execute();
  // The name filter is a regular expression, which no two engines have alike: it is applied to the rows.
  const rows = await query.limit(MAX_NAMES_MATCHED).execute();
  const matches = filter.name(rows.map((row) => row.name));
  return rows.filter((_, index) => matches[index]).slice(0, page.limit);
}

/** What an absent value counts as, so that engines agree where it stands and paging can begin after it. */
const ABSENT: Partial<Record<ServerSortKey, string | number>> = { host: '', launched_at: 0 };

function sortable(key: ServerSortKey): Expression<string | number> {
  const absent = ABSENT[key];
  return absent === undefined ? sql.ref(key) : sql`coalesce(${sql.ref(key)}, ${sql.lit(absent)})`;
}

function sortValue(row: ServerRow, key: ServerSortKey): string | number {
  return row[key] ?? ABSENT[key] ?? '';
}

const MAX_NAMES_MATCHED = 10_000;

/** Whole rows by id, in no order. */
export async function serversById(db: Queries, ids: readonly string[]): Promise<ServerRow[]> {
  if (ids.length === 0) return [];
  return db
    .selectFrom('servers')
    .selectAll()
    .where('id', 'in', [...ids])
    .execute();
}

/** What a project uses: counted each time, never kept. */
export async function usageOf(
  db: Queries,
  projectId: string,
): Promise<{ instances: number; vcpus: number; memoryMib: number }> {
  const rows = await db
    .selectFrom('servers')
    .select(['flavor', (e) => e.fn.countAll<number>().as('count')])
    .where('project_id', '=', projectId)
    .where('deleted_at', 'is', null)
    .groupBy('flavor')
    .execute();
  const usage = { instances: 0, vcpus: 0, memoryMib: 0 };
  for (const { flavor, count } of rows) {
    const { vcpus, memoryMib } = JSON.parse(flavor) as { vcpus: number; memoryMib: number };
    usage.instances += Number(count);
    usage.vcpus += vcpus * Number(count);
    usage.memoryMib += memoryMib * Number(count);
  }
  return usage;
}
