/** Security groups. Every project has one called `default` from the first time that anybody needs it. */
import type { Queries } from '#db/database.ts';
import type { SecurityGroupRow } from '#db/tables/network.ts';
import { insertRule } from './security-group-rules.ts';
import { type Described, standard } from './standard.ts';
import { deleteTags } from './tags.ts';

export const DEFAULT_GROUP = 'default';

export interface NewSecurityGroup extends Described {
  readonly stateful?: boolean;
}

/** Null where it is not; any project's where `projectId` is null. */
export async function findSecurityGroup(
  db: Queries,
  id: string,
  projectId: string | null,
): Promise<SecurityGroupRow | null> {
  let query = db.selectFrom('security_groups').selectAll().where('id', '=', id);
  if (projectId !== null) query = query.where('project_id', '=', projectId);
  return (await query.executeTakeFirst()) ?? null;
}

/** The project's groups with these names or ids, in no order; a name may stand for several. */
export function securityGroupsNamed(
  db: Queries,
  projectId: string,
  names: readonly string[],
): Promise<SecurityGroupRow[]> {
  return db
    .selectFrom('security_groups')
    .selectAll()
    .where('project_id', '=', projectId)
    .where((e) => e.or([e('id', 'in', [...names]), e('name', 'in', [...names])]))
    .execute();
}

/** Of one project, by name. */
export function listGroupsOf(db: Queries, projectId: string, limit: number): Promise<SecurityGroupRow[]> {
  return db
    .selectFrom('security_groups')
    .selectAll()
    .where('project_id', '=', projectId)
    .orderBy('name')
    .orderBy('id')
    .limit(limit)
    .execute();
}

/** Writes the group with the rules that a new one has: everything may go out. */
export async function insertSecurityGroup(
  trx: Queries,
  wanted: NewSecurityGroup,
  now: number,
): Promise<SecurityGroupRow> {
  const row = { ...standard(wanted, now), stateful: Number(wanted.stateful ?? true), is_default: 0 };
  await trx.insertInto('security_groups').values(row).execute();
  await insertEgressRules(trx, row, now);
  return row;
}

/** The project's default group, made when it has none: everything may go out, and its members may reach each other. */
export async function ensureDefaultGroup(trx: Queries, projectId: string, now: number): Promise<SecurityGroupRow> {
  const known = await findDefaultGroup(trx, projectId);
  if (known) return known;
  const description = 'Default security group';
  const row = {
    ...standard({ projectId, name: DEFAULT_GROUP, description }, now),
    stateful: 1,
    is_default: 1,
  };
  await trx.insertInto('security_groups').values(row).execute();
  await insertEgressRules(trx, row, now);
  for (const ethertype of ['IPv4', 'IPv6'] as const)
    await insertRule(trx, { groupId: row.id, projectId, direction: 'ingress', ethertype, remoteGroupId: row.id }, now);
  return row;
}

export async function findDefaultGroup(db: Queries, projectId: string): Promise<SecurityGroupRow | undefined> {
  return await db
    .selectFrom('security_groups')
    .selectAll()
    .where('project_id', '=', projectId)
    .where('is_default', '=', 1)
    .executeTakeFirst();
}

/** Whether a port is in it. */
export async function isGroupInUse(db: Queries, id: string): Promise<boolean> {
  const row = await db
    .selectFrom('port_security_groups')
    .select('port_id')
    .where('group_id', '=', id)
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

/** With its rules, and those of others that name it. No port may be in it. */
export async function deleteSecurityGroup(trx: Queries, id: string): Promise<void> {
  await trx.deleteFrom('security_groups').where('id', '=', id).execute();
  await deleteTags(trx, [id]);
}

/** By port, of each that is in any: id and name, by name. */
export async function groupsByPort(
  db: Queries,
  portIds: readonly string[],
): Promise<Map<string, { id: string; name: string }[]>> {
  if (portIds.length === 0) return new Map();
  const rows = await db
    .selectFrom('port_security_groups')
    .innerJoin('security_groups', 'security_groups.id', 'port_security_groups.group_id')
    .select(['port_security_groups.port_id', 'security_groups.id', 'security_groups.name'])
    .where('port_security_groups.port_id', 'in', [...portIds])
    .orderBy('security_groups.name')
    .orderBy('security_groups.id')
    .execute();
  const grouped = Map.groupBy(rows, ({ port_id }) => port_id);
  return new Map([...grouped].map(([portId, groups]) => [portId, groups.map(({ id, name }) => ({ id, name }))]));
}

async function insertEgressRules(trx: Queries, group: SecurityGroupRow, now: number): Promise<void> {
  for (const ethertype of ['IPv4', 'IPv6'] as const)
    await insertRule(trx, { groupId: group.id, projectId: group.project_id, direction: 'egress', ethertype }, now);
}
