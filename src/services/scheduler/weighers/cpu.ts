/** Prefers hosts with virtual CPUs to spare. */
import { freeShare } from '../host-state.ts';
import type { Weigher } from './weigher.ts';

export const cpu: Weigher = { multiplier: 1, weigh: (host) => freeShare(host, 'vcpus') };
