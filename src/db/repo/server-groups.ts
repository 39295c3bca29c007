/** Queries of server groups and of who is in them. A server that was deleted is no member, whatever rows are left of it. */
import { CloudError } from '#domain/errors.ts';
import type { Queries } from '../database.ts';
import type { ServerGroupRow } from '../tables/compute.ts';

export interface GroupPage {
  /** Null: every project. */
  readonly projectId: string | null;
  readonly offset: number;
  readonly limit: number;
}

/** Oldest first. */
export function listServerGroups(db: Queries, page: GroupPage): Promise<ServerGroupRow[]> {
  let query = db.selectFrom('server_groups').selectAll();
  if (page.projectId !== null) query = query.where('project_id', '=', page.projectId);
  return query.orderBy('created_at').orderBy('id').limit(page.limit).offset(page.offset).execute();
}

/** Of any project when `projectId` is null. */
export function findServerGroup(
  db: Queries,
  id: string,
  projectId: string | null,
): Promise<ServerGroupRow | undefined> {
  let query = db.selectFrom('server_groups').selectAll().where('id', '=', id);
  if (projectId !== null) query = query.where('project_id', '=', projectId);
  return query.executeTakeFirst();
}

export async function countServerGroups(db: Queries, projectId: string): Promise<number> {
  const { count } = await db
    .selectFrom('server_groups')
    .select((e) => e.fn.countAll<number>().as('count'))
    .where('project_id', '=', projectId)
    .executeTakeFirstOrThrow();
  return Number(count);
}

export async function insertServerGroup(db: Queries, row: ServerGroupRow): Promise<void> {
  await db.insertInto('server_groups').values(row).execute();
}

/** Its servers stay, and are bound by nothing any more. Answers false where there was none. */
export async function deleteServerGroup(db: Queries, id: string): Promise<boolean> {
  const { numDeletedRows } = await db.deleteFrom('server_groups').where('id', '=', id).executeTakeFirst();
  return numDeletedRows > 0n;
}

/** The ids of the servers of each group that has any, oldest server first. */
export async function membersByGroup(db: Queries, groupIds: readonly string[]): Promise<Map<string, string[]>> {
  if (groupIds.length === 0) return new Map();
  const rows = await db
    .selectFrom('server_group_members')
    .innerJoin('servers', 'servers.id', 'server_group_members.server_id')
    .select(['server_group_members.group_id', 'servers.id'])
    .where('server_group_members.group_id', 'in', [...groupIds])
    .where('servers.deleted_at', 'is', null)
    .orderBy('servers.created_at')
    .orderBy('servers.id')
    .execute();
  const grouped = Map.groupBy(rows, (row) => row.group_id);
  return new Map([...grouped].map(([groupId, members]) => [groupId, members.map(({ id }) => id)]));
}

/** The group that a server was launched into; null for none. */
export async function groupIdOf(db: Queries, serverId: string): Promise<string | null> {
  const row = await db
    .selectFrom('server_group_members')
    .select('group_id')
    .where('server_id', '=', serverId)
    .executeTakeFirst();
  return row?.group_id ?? null;
}

export interface Joining {
  /** Whose group it must be; null: anybody's. */
  readonly projectId: string | null;
  /** How many members a group may have; -1 is no limit. */
  readonly maxMembers: number;
}

/**
 * Makes a server, whose row has been written, a member for life. Part of the transaction that accepts the launch. Throws 400
 * for a group that is not there for this project, and 403 when it is full.
 */
export async function addServerToGroup(
  trx: Queries,
  groupId: string,
  serverId: string,
  joining: Joining,
): Promise<void> {
  if (!(await findServerGroup(trx, groupId, joining.projectId)))
    throw new CloudError('badRequest', { reason: `Instance group ${groupId} could not be found.` });
  // Rows of servers that are gone would only gather.
  await trx
    .deleteFrom('server_group_members')
    .where('group_id', '=', groupId)
    .where((e) =>
      e.not(
        e.exists(
          e
            .selectFrom('servers')
            .select('servers.id')
            .whereRef('servers.id', '=', 'server_group_members.server_id')
            .where('servers.deleted_at', 'is', null),
        ),
      ),
    )
    .execute();
  const members = (await membersByGroup(trx, [groupId])).get(groupId) ?? [];
  if (joining.maxMembers >= 0 && members.length >= joining.maxMembers)
    throw new CloudError('forbidden', { reason: 'Quota exceeded, too many servers in group' });
  await trx.insertInto('server_group_members').values({ server_id: serverId, group_id: groupId }).execute();
}

/** How many members have room on each host, one server left out. */
export async function membersByHost(db: Queries, groupId: string, exceptId: string): Promise<Map<string, number>> {
  const rows = await db
    .selectFrom('server_group_members')
    .innerJoin('allocations', 'allocations.server_id', 'server_group_members.server_id')
    .select((e) => ['allocations.host', e.fn.countAll<number>().as('count')])
    .where('server_group_members.group_id', '=', groupId)
    .where('server_group_members.server_id', '!=', exceptId)
    .groupBy('allocations.host')
    .execute();
  return new Map(rows.map(({ host, count }) => [host, Number(count)]));
}

/** Holds the group until the transaction ends, on engines that run transactions side by side too. Answers what it says. */
export function lockServerGroup(trx: Queries, id: string): Promise<ServerGroupRow | undefined> {
  return trx
    .updateTable('server_groups')
    .set((e) => ({ name: e.ref('name') }))
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirst();
}
