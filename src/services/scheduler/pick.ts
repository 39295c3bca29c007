/**
 * The decision, pure: the best host that every filter lets through, or the reasons why there is none.
 */
import { aggregateSpecs } from './filters/aggregate-specs.ts';
import { anotherHost } from './filters/another-host.ts';
import { availabilityZone } from './filters/availability-zone.ts';
import { capabilities } from './filters/capabilities.ts';
import { computeUp } from './filters/compute-up.ts';
import { enabled } from './filters/enabled.ts';
import type { Filter } from './filters/filter.ts';
import { imageProperties } from './filters/image-properties.ts';
import { differentHost, sameHost } from './filters/near-servers.ts';
import { requestedHost } from './filters/requested-host.ts';
import { disk, ram, vcpus } from './filters/resources.ts';
import { serverGroup } from './filters/server-group.ts';
import type { HostState, PlacementRequest } from './host-state.ts';

/** In the order in which they are asked; a refused host counts for the first that says no. */
export const FILTERS: readonly Filter[] = [
  computeUp,
  enabled,
  anotherHost,
  requestedHost,
  availabilityZone,
  ram,
  vcpus,
  disk,
  imageProperties,
  capabilities,
  aggregateSpecs,
  differentHost,
  sameHost,
  serverGroup,
];

export type Pick =
  | { readonly host: HostState; readonly considered: number }
  | { readonly host: null; readonly reason: string };

/** `hosts` come best first. Looks no further than the first that passes, so the cost does not grow with their number. */
export function pick(
  hosts: Iterable<HostState>,
  request: PlacementRequest,
  now: number,
  excluded: ReadonlySet<string>,
): Pick {
  const refused = new Map<Filter, HostState[]>();
  let considered = 0;
  for (const host of hosts) {
    considered++;
    if (excluded.has(host.name)) continue;
    const objection = FILTERS.find((filter) => !filter.passes(host, request, now));
    if (!objection) return { host, considered };
    const group = refused.get(objection);
    if (group) group.push(host);
    else refused.set(objection, [host]);
  }
  return { host: null, reason: reasonOf(considered, refused, request) };
}

function reasonOf(
  considered: number,
  refused: ReadonlyMap<Filter, readonly HostState[]>,
  request: PlacementRequest,
): string {
  if (considered === 0) return 'There are not enough hosts available: no compute host has registered.';
  const parts = [...refused].map(([filter, hosts]) => {
    const detail = filter.explain ? ` (${filter.explain(request, hosts)})` : '';
    return `${filter.name}: ${hosts.length}${detail}`;
  });
  return `There are not enough hosts available. ${considered} considered; ${parts.join('; ')}.`;
}
