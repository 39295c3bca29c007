/** Where a change of a security group is felt. */
import type { Queries } from '#db/database.ts';

/** The networks of its ports, and of the ports of groups whose rules name it. */
export async function networksOfGroup(db: Queries, id: string): Promise<string[]> {
  const naming = db.selectFrom('security_group_rules').select('group_id').where('remote_group_id', '=', id);
  const rows = await db
    .selectFrom('port_security_groups')
    .innerJoin('ports', 'ports.id', 'port_security_groups.port_id')
    .select('ports.network_id')
    .distinct()
    .where((e) => e.or([e('port_security_groups.group_id', '=', id), e('port_security_groups.group_id', 'in', naming)]))
    .execute();
  return rows.map(({ network_id }) => network_id);
}
