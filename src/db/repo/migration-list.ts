/** Queries of moves as operators look at them: lists with filters and pages, and those of one server that are live. */
import type { Queries } from '../database.ts';
import type { MigrationStatus, ServerMigrationRow } from '../tables/compute.ts';

/** A live migration in one of these goes on. */
export const LIVE_IN_PROGRESS: readonly MigrationStatus[] = [
  'accepted',
  'preparing',
  'pre-migrating',
  'running',
  'post-migrating',
];

export interface MigrationFilter {
  /** Where it comes from or goes to. */
  readonly host?: string | undefined;
  readonly sourceHost?: string | undefined;
  readonly serverId?: string | undefined;
  readonly status?: string | undefined;
  readonly type?: string | undefined;
  readonly userId?: string | undefined;
  readonly projectId?: string | undefined;
  /** Epoch ms, of the last change. */
  readonly changedSince?: number | undefined;
  readonly changedBefore?: number | undefined;
}

export interface MigrationPage {
  readonly limit: number;
  /** The last one of the page before. */
  readonly after?: ServerMigrationRow | undefined;
}

/** Newest first. */
export function listMigrations(
  db: Queries,
  filter: MigrationFilter,
  page: MigrationPage,
): Promise<ServerMigrationRow[]> {
  const { host, changedSince, changedBefore } = filter;
  let query = db.selectFrom('server_migrations').selectAll();
  if (host !== undefined) query = query.where((e) => e.or([e('source_host', '=', host), e('dest_host', '=', host)]));
  const equals = {
    source_host: filter.sourceHost,
    server_id: filter.serverId,
    status: filter.status as MigrationStatus | undefined,
    type: filter.type as ServerMigrationRow['type'] | undefined,
    user_id: filter.userId,
    project_id: filter.projectId,
  };
  for (const [column, value] of Object.entries(equals))
    if (value !== undefined) query = query.where(column as keyof typeof equals, '=', value);
  if (changedSince !== undefined) query = query.where('updated_at', '>=', changedSince);
  if (changedBefore !== undefined) query = query.where('updated_at', '<=', changedBefore);
  const { after } = page;
  if (after) {
    query = query.where((e) =>
      e.or([
        e('created_at', '<', after.created_at),
        e.and([e('created_at', '=', after.created_at), e('id', '<', after.id)]),
      ]),
    );
  }
  return query.orderBy('created_at', 'desc').orderBy('id', 'desc').limit(page.limit).execute();
}

export function findMigration(db: Queries, uuid: string): Promise<ServerMigrationRow | undefined> {
  return db.selectFrom('server_migrations').selectAll().where('uuid', '=', uuid).executeTakeFirst();
}

/** By its number, among those of one server. */
export function migrationOf(db: Queries, serverId: string, id: number): Promise<ServerMigrationRow | undefined> {
  return db
    .selectFrom('server_migrations')
    .selectAll()
    .where('server_id', '=', serverId)
    .where('id', '=', id)
    .executeTakeFirst();
}

/** The live migrations of a server that go on, oldest first. */
export function liveMigrationsOf(db: Queries, serverId: string): Promise<ServerMigrationRow[]> {
  return db
    .selectFrom('server_migrations')
    .selectAll()
    .where('server_id', '=', serverId)
    .where('type', '=', 'live-migration')
    .where('status', 'in', [...LIVE_IN_PROGRESS])
    .orderBy('id')
    .execute();
}
