/**
 * Prefers the emptiest host: the smaller of the free shares of memory and of virtual CPUs.
 *
 * A weight looks at one host alone, so that the order of all others stays when one changes.
 */
import { freeOf, type HostState } from '../host-state.ts';

export function spread(host: HostState): number {
  const free = freeOf(host);
  const share = (part: number, whole: number) => (whole > 0 ? part / whole : 0);
  return Math.min(share(free.memoryMib, host.bookable.memoryMib), share(free.vcpus, host.bookable.vcpus));
}
