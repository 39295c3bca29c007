/** `/servers/{id}/os-security-groups`: the groups of a server's ports, with their rules as Nova shows them. */
import type { Queries } from '#db/database.ts';
import { groupsByPort } from '#db/repo/network/security-groups.ts';
import { portsOfServers } from '#db/repo/network/server-ports.ts';
import type { SecurityGroupRow } from '#db/tables/network.ts';
import { type Route, route } from '#http/route.ts';
import type { ApiDeps } from '../api-deps.ts';
import { shownGroups } from '../security-groups/view.ts';
import { visibleServer } from './visible-server.ts';

export function serverSecurityGroupRoutes(deps: ApiDeps): Route[] {
  const { queries } = deps.db;
  return [
    route({
      method: 'GET',
      path: '/v2.1/servers/:id/os-security-groups',
      doc: 'Lists the security groups of a server.',
      access: { rule: 'os_compute_api:os-security-groups:list', role: 'reader' },
      success: 200,
      handle: async (request) => {
        const { id } = await visibleServer(deps, request);
        const ports = (await portsOfServers(queries, [id])).get(id) ?? [];
        const byPort = await groupsByPort(
          queries,
          ports.map((port) => port.id),
        );
        const ids = [...new Set([...byPort.values()].flat().map((group) => group.id))];
        return { body: { security_groups: await shownGroups(queries, await groupsWith(queries, ids)) } };
      },
    }),
  ];
}

async function groupsWith(db: Queries, ids: readonly string[]): Promise<SecurityGroupRow[]> {
  if (ids.length === 0) return [];
  return db
    .selectFrom('security_groups')
    .selectAll()
    .where('id', 'in', [...ids])
    .orderBy('name')
    .execute();
}
