/** Availability zones: those that the hosts are in, by their aggregates or by themselves. */
import { aggregatesByHost, zoneOf } from '#db/repo/aggregates.ts';
import { isUp, listHosts } from '#db/repo/hosts.ts';
import type { HostRow } from '#db/tables/compute.ts';
import { type Route, route } from '#http/route.ts';
import type { ApiDeps } from './api-deps.ts';
import { micros } from './times.ts';

const PATH = '/v2.1/os-availability-zone';

export function availabilityZoneRoutes({ db, now }: ApiDeps): Route[] {
  const zones = async (hostsOf: (hosts: readonly HostRow[]) => unknown) => {
    const aggregates = await aggregatesByHost(db.queries);
    const byZone = Map.groupBy(await listHosts(db.queries), (host) => zoneOf(host, aggregates.get(host.name)));
    return {
      body: {
        availabilityZoneInfo: [...byZone].map(([zoneName, hosts]) => ({
          zoneName,
          zoneState: { available: hosts.some((host) => host.enabled === 1) },
          hosts: hostsOf(hosts),
        })),
      },
    };
  };
  return [
    route({
      method: 'GET',
      path: PATH,
      doc: 'Lists the availability zones.',
      access: { rule: 'os_compute_api:os-availability-zone:list', role: 'any' },
      success: 200,
      handle: () => zones(() => null),
    }),
    route({
      method: 'GET',
      path: `${PATH}/detail`,
      doc: 'Lists them with their hosts; for administrators.',
      access: { rule: 'os_compute_api:os-availability-zone:detail', role: 'admin' },
      success: 200,
      handle: () => zones((hosts) => Object.fromEntries(hosts.map((host) => [host.name, servicesOf(host, now())]))),
    }),
  ];
}

function servicesOf(host: HostRow, now: number) {
  const available = isUp(host, now);
  return { 'nova-compute': { active: host.enabled === 1, available, updated_at: micros(host.seen_at) } };
}
