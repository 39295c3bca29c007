/** How many addresses networks have, and how many are in use: counted when somebody asks. */
import { type IpUsage, ipUsage } from '#db/repo/network/ip-usage.ts';
import { CloudError } from '#domain/errors.ts';
import { type Route, route } from '#http/route.ts';
import type { NetworkDeps } from './deps.ts';
import type { View } from './resource/collection.ts';
import { LIST_QUERY, type RawQuery, valuesOf } from './resource/list-query.ts';

const ADMIN = { rule: 'get_network_ip_availability', role: 'admin' } as const;

export function ipAvailabilityRoutes({ db }: NetworkDeps): readonly Route[] {
  return [
    route({
      method: 'GET',
      path: '/v2.0/network-ip-availabilities',
      doc: 'Addresses of every network: how many there are, how many are used.',
      access: ADMIN,
      query: LIST_QUERY,
      success: 200,
      async handle(request) {
        const query = request.query as RawQuery;
        const version = Number(valuesOf(query.ip_version).at(-1) ?? 0);
        const all = (await ipUsage(db.queries, null)).map((usage) => usageView(usage, version));
        const keys = ['network_id', 'network_name', 'tenant_id', 'project_id'].filter(
          (key) => query[key] !== undefined,
        );
        const found = all.filter((view) => keys.every((key) => valuesOf(query[key]).includes(String(view[key]))));
        return { body: { network_ip_availabilities: found } };
      },
    }),
    route({
      method: 'GET',
      path: '/v2.0/network-ip-availabilities/:id',
      doc: 'The same of one network.',
      access: ADMIN,
      success: 200,
      async handle(request) {
        const id = request.params.id ?? '';
        const [usage] = await ipUsage(db.queries, id);
        if (!usage) throw new CloudError('networkNotFound', { id });
        return { body: { network_ip_availability: usageView(usage, 0) } };
      },
    }),
  ];
}

/** Of one family, or of both where `version` is 0. JSON's numbers are not exact for IPv6; nobody counts that far. */
function usageView({ id, name, projectId, subnets }: IpUsage, version: number): View {
  const shown = subnets.filter((subnet) => version === 0 || subnet.ipVersion === version);
  const sum = (of: 'total' | 'used') => shown.reduce((all, subnet) => all + subnet[of], 0);
  return {
    network_id: id,
    network_name: name,
    tenant_id: projectId,
    project_id: projectId,
    total_ips: sum('total'),
    used_ips: sum('used'),
    subnet_ip_availability: shown.map((subnet) => ({
      subnet_id: subnet.id,
      subnet_name: subnet.name,
      cidr: subnet.cidr,
      ip_version: subnet.ipVersion,
      total_ips: subnet.total,
      used_ips: subnet.used,
    })),
  };
}
