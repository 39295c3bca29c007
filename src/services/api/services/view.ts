/** A service as each microversion shows it: compute hosts, and the processes of the other roles. */
import { type AggregateMetadata, zoneOf } from '#db/repo/aggregates.ts';
import { isUp } from '#db/repo/hosts.ts';
import type { HostRow } from '#db/tables/compute.ts';
import type { ServiceRow } from '#db/tables/operating.ts';
import { micros } from '../times.ts';

interface Viewer {
  readonly version: number;
  readonly now: number;
}

export const COMPUTE = 'nova-compute';

/** Nova's name for where everything is that is no compute host. */
export const INTERNAL_ZONE = 'internal';

export function computeView(
  host: HostRow,
  aggregates: readonly AggregateMetadata[] | undefined,
  { version, now }: Viewer,
): Record<string, unknown> {
  return {
    id: version >= 53 ? host.id : host.number,
    binary: COMPUTE,
    host: host.name,
    zone: zoneOf(host, aggregates),
    status: statusOf(host),
    state: stateOf(host, now),
    updated_at: micros(host.seen_at),
    disabled_reason: host.disabled_reason,
    ...(version >= 11 && { forced_down: host.forced_down === 1 }),
  };
}

export function serviceView(service: ServiceRow, { version, now }: Viewer): Record<string, unknown> {
  return {
    id: version >= 53 ? service.id : service.number,
    binary: service.role,
    host: service.host,
    zone: INTERNAL_ZONE,
    status: 'enabled',
    state: stateOf({ seen_at: service.seen_at, forced_down: 0 }, now),
    updated_at: micros(service.seen_at),
    disabled_reason: null,
    ...(version >= 11 && { forced_down: false }),
  };
}

export function statusOf(host: Pick<HostRow, 'enabled'>): 'enabled' | 'disabled' {
  return host.enabled === 1 ? 'enabled' : 'disabled';
}

export function stateOf(host: Pick<HostRow, 'seen_at' | 'forced_down'>, now: number): 'up' | 'down' {
  return isUp(host, now) ? 'up' : 'down';
}
