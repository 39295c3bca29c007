/** The host's agent was heard of lately. */
import type { Filter } from './filter.ts';

/** Nova's `service_down_time`. */
export const DOWN_AFTER_MS = 60_000;

export const computeUp: Filter = { name: 'down', passes: (host, _, now) => now - host.seenAt < DOWN_AFTER_MS };
