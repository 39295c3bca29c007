/** Hosts whose agent has not been heard of for a while get nothing new. */
import { isUp } from '#db/repo/hosts.ts';
import type { Filter } from './filter.ts';

export const computeUp: Filter = {
  name: 'down',
  passes: ({ seenAt }, _, now) => isUp({ seen_at: seenAt, forced_down: 0 }, now),
};
