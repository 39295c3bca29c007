/** Prefers hosts on which little is being done: launches, copies, snapshots. */
import type { Weigher } from './weigher.ts';

/** Nova's `max_io_ops_per_host`: as busy as a host should be. */
const BUSY = 8;

export const ioOps: Weigher = { multiplier: -1, weigh: ({ openOperations }) => Math.min(1, openOperations / BUSY) };
