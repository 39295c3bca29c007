/** Queries of the servers table. */
import { type Expression, type Selectable, type SqlBool, sql } from 'kysely';
import type { ServerChanges } from '#domain/instance/instance.ts';
import type { StatesOfStatus, VmState } from '#domain/instance/states.ts';
import { STRONGER } from '#domain/instance/transitions.ts';
import type { Queries } from '../database.ts';
import type { ServerRow } from '../tables/compute.ts';

export type ServerPatch = Partial<Omit<ServerRow, 'id' | 'version' | 'created_at'>>;

/** The columns in which facts of a server are kept that an operation may change. */
export function changedColumns(changes: ServerChanges): ServerPatch {
  return {
    ...(changes.flavor !== undefined && { flavor: JSON.stringify(changes.flavor) }),
    ...(changes.imageId !== undefined && { image_id: changes.imageId }),
    ...(changes.imageProperties !== undefined && { image_properties: JSON.stringify(changes.imageProperties) }),
    ...(changes.name !== undefined && { name: changes.name }),
    ...(changes.hostname !== undefined && { hostname: changes.hostname }),
    ...(changes.description !== undefined && { description: changes.description }),
    ...(changes.metadata !== undefined && { metadata: JSON.stringify(changes.metadata) }),
    ...(changes.keyName !== undefined && { key_name: changes.keyName }),
    ...(changes.publicKey !== undefined && { public_key: changes.publicKey }),
    ...(changes.userData !== undefined && { user_data: changes.userData }),
    ...(changes.diskConfig !== undefined && { disk_config: changes.diskConfig }),
    ...(changes.accessIpV4 !== undefined && { access_ip_v4: changes.accessIpV4 }),
    ...(changes.accessIpV6 !== undefined && { access_ip_v6: changes.accessIpV6 }),
  };
}

/** Changes the row for an operation, as long as the server still belongs to it; answers whether it does. */
export async function changeServer(
  db: Queries,
  id: string,
  operationId: string,
  patch: ServerPatch,
  now: number,
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('servers')
    .set((e) => ({ ...patch, updated_at: now, version: e('version', '+', 1) }))
    .where('id', '=', id)
    .where('operation_id', '=', operationId)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/**
 * Changes the row for an operation that has not ended when a stronger one has taken the server over. That one waits for the end
 * of it, and must find what was really done.
 */
export async function changeServerTakenOver(db: Queries, id: string, patch: ServerPatch, now: number): Promise<void> {
  if (Object.keys(patch).length === 0) return;
  await db
    .updateTable('servers')
    .set((e) => ({ ...patch, updated_at: now, version: e('version', '+', 1) }))
    .where('id', '=', id)
    .where((e) =>
      e.exists(
        e
          .selectFrom('operations')
          .select('operations.id')
          .whereRef('operations.id', '=', 'servers.operation_id')
          .where('operations.kind', 'in', [...STRONGER])
          .where('operations.finished_at', 'is', null),
      ),
    )
    .execute();
}

/** Changes a row that nobody has changed since it was read and no operation is working on; answers whether it was so. */
export async function changeIdleServer(db: Queries, row: ServerRow, patch: ServerPatch, now: number): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('servers')
    .set({ ...patch, updated_at: now, version: row.version + 1 })
    .where('id', '=', row.id)
    .where('version', '=', row.version)
    .where('task_state', 'is', null)
    .where('deleted_at', 'is', null)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** Servers on a host that are not deleted. */
export function serversOn(db: Queries, host: string): Promise<ServerRow[]> {
  return db.selectFrom('servers').selectAll().where('host', '=', host).where('deleted_at', 'is', null).execute();
}

/** Servers that nobody works on and that have been in a state since before a moment. */
export function overdueServers(
  db: Queries,
  asked: {
    readonly vmState: VmState;
    readonly since: 'soft_deleted_at' | 'shelved_at';
    readonly before: number;
    readonly limit: number;
  },
): Promise<ServerRow[]> {
  return db
    .selectFrom('servers')
    .selectAll()
    .where('vm_state', '=', asked.vmState)
    .where('task_state', 'is', null)
    .where('deleted_at', 'is', null)
    .where(asked.since, '<=', asked.before)
    .orderBy(asked.since)
    .limit(asked.limit)
    .execute();
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
  /** Any of these; not given: all. */
  readonly states?: readonly StatesOfStatus[];
  /** Says for each name whether it matches. */
  readonly name?: (names: readonly string[]) => readonly boolean[];
  readonly equals: Partial<Pick<ServerRow, 'image_id' | 'host' | 'user_id' | 'reservation_id' | 'key_name' | 'locked'>>;
  readonly flavorId?: string;
  readonly ids?: readonly string[];
  /** Epoch ms; compares `updated_at`. */
  readonly changedSince?: number;
  readonly changedBefore?: number;
  readonly availabilityZone?: string;
  readonly tags?: TagFilter;
}

/** Each list only says something when it is not empty. */
export interface TagFilter {
  /** It has all of these. */
  readonly all: readonly string[];
  /** It has at least one. */
  readonly any: readonly string[];
  /** It has not all of them. */
  readonly notAll: readonly string[];
  /** It has none. */
  readonly notAny: readonly string[];
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
  if (filter.states?.length === 0 || filter.ids?.length === 0) return [];
  const { states } = filter;
  if (states) {
    query = query.where((e) =>
      e.or(
        states.map(({ vmState, tasks }) =>
          e.and([
            e('vm_state', '=', vmState),
            'only' in tasks
              ? e('task_state', 'in', [...tasks.only])
              : tasks.but.length === 0
                ? e.lit(true)
                : e.or([e('task_state', 'is', null), e('task_state', 'not in', [...tasks.but])]),
          ]),
        ),
      ),
    );
  }
  if (filter.ids) query = query.where('id', 'in', [...filter.ids]);
  if (filter.flavorId !== undefined)
    query = query.where('flavor', 'like', `{"id":${JSON.stringify(filter.flavorId)},%`);
  if (filter.changedSince !== undefined) query = query.where('updated_at', '>=', filter.changedSince);
  if (filter.changedBefore !== undefined) query = query.where('updated_at', '<=', filter.changedBefore);
  if (filter.availabilityZone !== undefined) query = query.where('availability_zone', '=', filter.availabilityZone);
  const { all = [], any = [], notAll = [], notAny = [] } = filter.tags ?? {};
  if (all.length > 0) query = query.where((e) => e.and(all.map(hasTag)));
  if (any.length > 0) query = query.where((e) => e.or(any.map(hasTag)));
  if (notAll.length > 0) query = query.where((e) => e.not(e.and(notAll.map(hasTag))));
  if (notAny.length > 0) query = query.where((e) => e.not(e.or(notAny.map(hasTag))));
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

/**
 * Looks for `,"tag"` in the column's JSON text, whose first bracket becomes a comma. A tag holds no comma, so that can only
 * be a whole one; and engines agree on `replace`, case included, as they do not on JSON.
 */
function hasTag(tag: string): Expression<SqlBool> {
  return sql<SqlBool>`replace(',' || substr(tags, 2), ${`,${JSON.stringify(tag)}`}, '') <> ',' || substr(tags, 2)`;
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
