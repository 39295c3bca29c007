/** The wish of a soft policy: hosts with more of the group's servers first, or those with fewer; else as they came. */
import type { GroupPlacement, HostState } from '../host-state.ts';

export function preferred(hosts: Iterable<HostState>, group: GroupPlacement | null): Iterable<HostState> {
  if (!group?.policy.startsWith('soft-') || group.membersByHost.size === 0) return hosts;
  const sign = group.policy === 'soft-affinity' ? -1 : 1;
  const count = ({ name }: HostState) => sign * (group.membersByHost.get(name) ?? 0);
  return [...hosts].sort((a, b) => count(a) - count(b));
}
