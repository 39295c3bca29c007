/** A filter says no to a host, and why. */
import type { HostState, PlacementRequest } from '../host-state.ts';

export interface Filter {
  /** The word in the fault that the owner reads. */
  readonly name: string;
  readonly passes: (host: HostState, request: PlacementRequest, now: number) => boolean;
  /** What was asked and what the best of the refused hosts had; for the fault. */
  readonly explain?: (request: PlacementRequest, refused: readonly HostState[]) => string;
}
