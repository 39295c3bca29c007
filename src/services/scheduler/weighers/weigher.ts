/**
 * One reason to prefer a host. It looks at that host alone, so that the order of all others stays when one changes; so a
 * share of the whole stands where Nova compares with the other hosts.
 */
import type { HostState } from '../host-state.ts';

export interface Weigher {
  /** How much it counts beside the others, as Nova's multipliers; below 0: hosts with less of it come first. */
  readonly multiplier: number;
  /** 0 to 1, but where many of one thing outweigh all the rest. */
  readonly weigh: (host: HostState) => number;
}
