/** Reads what a server's group asks of its host: the group that came with the request, else that of which it is a member. */
import type { Queries } from '#db/database.ts';
import { findServerGroup, groupIdOf, lockServerGroup, membersByHost } from '#db/repo/server-groups.ts';
import type { GroupPlacement } from './host-state.ts';

interface Asked {
  readonly serverId: string;
  readonly serverGroupId?: string | null | undefined;
}

/**
 * Null for a server of no group, or of one that was deleted. `lock`: nobody else places a server of the group until the
 * transaction has ended.
 */
export async function groupPlacement(db: Queries, asked: Asked, how?: 'lock'): Promise<GroupPlacement | null> {
  const { serverId } = asked;
  // Whoever moves a server later need not know of its group.
  const id = asked.serverGroupId ?? (await groupIdOf(db, serverId));
  if (id === null) return null;
  const row = how === 'lock' ? await lockServerGroup(db, id) : await findServerGroup(db, id, null);
  if (!row) return null;
  const rules = JSON.parse(row.rules) as { readonly max_server_per_host?: number };
  return {
    policy: row.policy,
    maxPerHost: rules.max_server_per_host ?? 1,
    membersByHost: await membersByHost(db, id, serverId),
  };
}
