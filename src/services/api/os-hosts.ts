/** Hosts as microversions up to 2.42 know them; later ones ask for services and hypervisors. Source: Nova's API reference. */
import { Type } from 'typebox';
import { aggregatesByHost, zoneOf } from '#db/repo/aggregates.ts';
import { changeHost } from '#db/repo/host-settings.ts';
import { findHost, listHosts, usageOfHost } from '#db/repo/hosts.ts';
import { listServices } from '#db/repo/services.ts';
import type { HostRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import { type Route, route } from '#http/route.ts';
import type { ApiDeps } from './api-deps.ts';
import { lastOf, repeatable } from './paging.ts';
import { INTERNAL_ZONE } from './services/view.ts';

const PATH = '/v2.1/os-hosts';
const RULE = 'os_compute_api:os-hosts';
const UNTIL = 42;

const UPDATE = Type.Object(
  {
    status: Type.Optional(Type.Enum(['enable', 'disable', 'Enable', 'Disable', 'ENABLE', 'DISABLE'])),
    maintenance_mode: Type.Optional(Type.Unknown()),
  },
  { additionalProperties: false },
);

export function osHostRoutes({ db }: ApiDeps): Route[] {
  const known = async (name: string): Promise<HostRow> => {
    const host = await findHost(db.queries, name);
    if (!host) throw new CloudError('notThere', { reason: `Compute host ${name} could not be found.` });
    return host;
  };
  return [
    route({
      method: 'GET',
      path: PATH,
      doc: 'Lists the hosts and the processes of the other roles.',
      access: { rule: `${RULE}:list`, role: 'admin' },
      until: UNTIL,
      query: Type.Object({ zone: Type.Optional(repeatable(Type.String({ maxLength: 255 }))) }),
      success: 200,
      handle: async ({ query }) => {
        const aggregates = await aggregatesByHost(db.queries);
        const hosts = [
          ...(await listServices(db.queries)).map(({ host, role }) => ({
            host_name: host,
            service: role.slice('nova-'.length),
            zone: INTERNAL_ZONE,
          })),
          ...(await listHosts(db.queries)).map((host) => ({
            host_name: host.name,
            service: 'compute',
            zone: zoneOf(host, aggregates.get(host.name)),
          })),
        ];
        const zone = lastOf(query.zone);
        return { body: { hosts: hosts.filter((each) => zone === undefined || each.zone === zone) } };
      },
    }),
    route({
      method: 'GET',
      path: `${PATH}/:name`,
      doc: 'Shows what a host has and what is used of it.',
      access: { rule: `${RULE}:show`, role: 'admin' },
      until: UNTIL,
      success: 200,
      handle: async ({ params }) => {
        const host = await known(params.name ?? '');
        const used = await usageOfHost(db.queries, host.name);
        const resource = (project: string, cpu: number, memory: number, disk: number) => ({
          resource: { host: host.name, project, cpu, memory_mb: memory, disk_gb: disk },
        });
        const lines = [
          resource('(total)', host.vcpus, host.memory_mib, host.disk_gib),
          resource('(used_now)', used.vcpus, used.memoryMib, used.diskGib),
        ];
        return { body: { host: lines } };
      },
    }),
    route({
      method: 'PUT',
      path: `${PATH}/:name`,
      doc: 'Puts a host into service or out of it.',
      access: { rule: `${RULE}:update`, role: 'admin' },
      until: UNTIL,
      body: UPDATE,
      success: 200,
      handle: async ({ params, body }) => {
        const { name } = await known(params.name ?? '');
        const { status, maintenance_mode: maintenance } = body;
        if (maintenance !== undefined)
          throw new CloudError('notImplemented', { reason: 'Virt driver does not implement host maintenance mode.' });
        if (status === undefined) throw new CloudError('badRequest', { reason: 'status is a required property' });
        const isOn = status.toLowerCase() === 'enable';
        await changeHost(db.queries, name, { enabled: isOn ? 1 : 0, disabled_reason: null });
        return { body: { host: name, status: isOn ? 'enabled' : 'disabled' } };
      },
    }),
    ...['startup', 'shutdown', 'reboot'].map((action) =>
      route({
        method: 'GET',
        path: `${PATH}/:name/${action}`,
        doc: `Not offered: ${action} of the machine is for its operator.`,
        access: { rule: `${RULE}:${action}`, role: 'admin' },
        until: UNTIL,
        success: 501,
        handle: async ({ params }) => {
          await known(params.name ?? '');
          throw new CloudError('notImplemented', { reason: 'Virt driver does not implement host power actions.' });
        },
      }),
    ),
  ];
}
