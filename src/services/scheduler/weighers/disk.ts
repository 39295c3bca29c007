/** Prefers hosts with disk to spare. */
import { freeShare } from '../host-state.ts';
import type { Weigher } from './weigher.ts';

export const disk: Weigher = { multiplier: 1, weigh: (host) => freeShare(host, 'diskGib') };
