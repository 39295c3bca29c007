/** Prefers hosts with memory to spare. */
import { freeShare } from '../host-state.ts';
import type { Weigher } from './weigher.ts';

export const ram: Weigher = { multiplier: 1, weigh: (host) => freeShare(host, 'memoryMib') };
