/** A server group as each microversion shows it. */
import type { ServerGroupRow } from '#db/tables/compute.ts';

export function serverGroupView(
  row: ServerGroupRow,
  members: readonly string[],
  version: number,
): Record<string, unknown> {
  return {
    id: row.id,
    name: row.name,
    ...(version >= 64
      ? { policy: row.policy, rules: JSON.parse(row.rules) }
      : { policies: [row.policy], metadata: {} }),
    members,
    ...(version >= 13 && { project_id: row.project_id, user_id: row.user_id }),
  };
}
