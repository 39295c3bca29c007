/** What later microversions dropped: sums over all hypervisors and uptime (until 2.87), search by name (until 2.52). */
import { serversByHost } from '#db/repo/host-servers.ts';
import { listHosts } from '#db/repo/hosts.ts';
import { CloudError } from '#domain/errors.ts';
import { type Route, route } from '#http/route.ts';
import type { ApiDeps } from '../api-deps.ts';
import { findHypervisor, matching, occupations, PATH } from './routes.ts';
import { hypervisorSummary, statisticsView, uptimeOf } from './view.ts';

const RULE = 'os_compute_api:os-hypervisors';

export function olderHypervisorRoutes(deps: ApiDeps): Route[] {
  const { queries } = deps.db;
  return [
    route({
      method: 'GET',
      path: `${PATH}/statistics`,
      doc: 'Sums up the hypervisors that are in service.',
      access: { rule: `${RULE}:statistics`, role: 'admin' },
      until: 87,
      success: 200,
      handle: async () => {
        const occupied = await occupations(deps);
        const inService = (await listHosts(queries)).filter(({ enabled }) => enabled === 1);
        const statistics = statisticsView(inService.map((host) => ({ host, occupation: occupied(host) })));
        return { body: { hypervisor_statistics: statistics } };
      },
    }),
    route({
      method: 'GET',
      path: `${PATH}/:id/uptime`,
      doc: 'Shows how long a hypervisor has been up.',
      access: { rule: `${RULE}:uptime`, role: 'admin' },
      until: 87,
      success: 200,
      handle: async ({ params, version }) => {
        const host = await findHypervisor(deps, params.id ?? '', version);
        const summary = hypervisorSummary(host, { version, now: deps.now() });
        if (summary.state === 'down')
          throw new CloudError('badRequest', {
            reason: `Compute service of ${host.name} is unavailable at this time.`,
          });
        const uptime = uptimeOf(host, deps.now());
        if (uptime === null)
          throw new CloudError('notImplemented', { reason: 'Virt driver does not implement uptime function.' });
        return { body: { hypervisor: { ...summary, uptime } } };
      },
    }),
    route({
      method: 'GET',
      path: `${PATH}/:id/search`,
      doc: 'Lists the hypervisors with this in their names.',
      access: { rule: `${RULE}:search`, role: 'admin' },
      until: 52,
      success: 200,
      handle: async ({ params, version }) => {
        const hosts = matching(await listHosts(queries), params.id ?? '');
        const viewer = { version, now: deps.now() };
        return { body: { hypervisors: hosts.map((host) => hypervisorSummary(host, viewer)) } };
      },
    }),
    route({
      method: 'GET',
      path: `${PATH}/:id/servers`,
      doc: 'Lists the hypervisors with this in their names, each with its servers.',
      access: { rule: `${RULE}:servers`, role: 'admin' },
      until: 52,
      success: 200,
      handle: async ({ params, version }) => {
        const hosts = matching(await listHosts(queries), params.id ?? '');
        const viewer = { version, now: deps.now() };
        const servers = await serversByHost(
          queries,
          hosts.map(({ name }) => name),
        );
        const shown = hosts.map((host) => {
          const here = (servers.get(host.name) ?? []).map(({ id, name }) => ({ uuid: id, name }));
          return { ...hypervisorSummary(host, viewer), ...(here.length > 0 && { servers: here }) };
        });
        return { body: { hypervisors: shown } };
      },
    }),
  ];
}
