/** The host keeps the policy of the server's group: together with the others, or apart from them. */
import type { Filter } from './filter.ts';

export const serverGroup: Filter = {
  name: 'server group',
  passes: ({ name }, { group }) => {
    if (!group) return true;
    const here = group.membersByHost.get(name) ?? 0;
    if (group.policy === 'affinity') return group.membersByHost.size === 0 || here > 0;
    if (group.policy === 'anti-affinity') return here < group.maxPerHost;
    return true;
  },
  explain: ({ group }) =>
    group?.policy === 'affinity'
      ? 'affinity, its servers are on another'
      : `anti-affinity, at most ${group?.maxPerHost} on a host`,
};
