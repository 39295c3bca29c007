/**
 * Puts hosts on which guests could not be made lately behind all others, those with fewer failures first. A host that is broken
 * is fast at failing, and would get every launch.
 */
import type { Weigher } from './weigher.ts';

/** More than all others together can make of a host. */
export const buildFailures: Weigher = { multiplier: -10, weigh: ({ failedBuilds }) => failedBuilds };
