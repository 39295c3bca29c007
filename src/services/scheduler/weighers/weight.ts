/** How good a host is, as the weighers see it: the scheduler's index keeps hosts in this order. */
import type { HostState } from '../host-state.ts';
import { buildFailures } from './build-failures.ts';
import { cpu } from './cpu.ts';
import { disk } from './disk.ts';
import { ioOps } from './io-ops.ts';
import { ram } from './ram.ts';
import type { Weigher } from './weigher.ts';

const WEIGHERS: readonly Weigher[] = [ram, cpu, disk, ioOps, buildFailures];

export function weightOf(host: HostState): number {
  return WEIGHERS.reduce((sum, { multiplier, weigh }) => sum + multiplier * weigh(host), 0);
}
