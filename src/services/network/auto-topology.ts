/** Get me a network: a project that asks for any gets one with a subnet behind a router, always the same. */
import { deleteNetwork } from '#db/repo/network/networks.ts';
import { deletePorts } from '#db/repo/network/ports.ts';
import { deleteRouter, interfacesOf } from '#db/repo/network/routers.ts';
import { autoTopologyOf, ensureAutoTopology, requireDefaultExternal } from '#db/repo/network/topology.ts';
import { type Route, route } from '#http/route.ts';
import { mayRead, mayWrite, requireAdmin, type Who, whoOf } from './access.ts';
import type { NetworkDeps } from './deps.ts';
import { LIST_QUERY, type RawQuery, valuesOf } from './resource/list-query.ts';
import { write } from './write.ts';

/** The same for both, since `None` (as Python clients write it) is one's own. */
function projectOf(who: Who, id: string): string {
  const projectId = id === 'None' || id === 'null' ? who.projectId : id;
  if (projectId !== who.projectId) requireAdmin(who, 'get_auto_allocated_topology');
  return projectId;
}

export function autoTopologyRoutes(deps: NetworkDeps): readonly Route[] {
  const path = '/v2.0/auto-allocated-topology/:id';
  return [
    route({
      method: 'GET',
      path,
      doc: 'The network of a project that asked for any; made when it is not there. `fields=dry-run`: only whether that can be.',
      access: mayRead('get_auto_allocated_topology'),
      query: LIST_QUERY,
      success: 200,
      async handle(request) {
        const projectId = projectOf(whoOf(request), request.params.id ?? '');
        const owner = { project_id: projectId, tenant_id: projectId };
        if (valuesOf((request.query as RawQuery).fields).includes('dry-run')) {
          if (!(await autoTopologyOf(deps.db.queries, projectId))) await requireDefaultExternal(deps.db.queries);
          return { body: { auto_allocated_topology: { id: 'dry-run=pass', ...owner } } };
        }
        const id = await write(deps, async (trx) => {
          const { networkId } = await ensureAutoTopology(trx, projectId, deps.now());
          return { result: networkId, networks: [networkId] };
        });
        return { body: { auto_allocated_topology: { id, ...owner } } };
      },
    }),
    route({
      method: 'DELETE',
      path,
      doc: 'Deletes it, if nobody uses it.',
      access: mayWrite('delete_auto_allocated_topology'),
      success: 204,
      async handle(request) {
        const projectId = projectOf(whoOf(request), request.params.id ?? '');
        await write(deps, async (trx) => {
          const known = await autoTopologyOf(trx, projectId);
          if (!known) return { result: null, networks: [] };
          const inside = await interfacesOf(trx, known.routerId);
          await deletePorts(
            trx,
            inside.filter(({ networkId }) => networkId === known.networkId).map(({ portId }) => portId),
          );
          await deleteRouter(trx, known.routerId);
          await deleteNetwork(trx, known.networkId);
          return { result: null, networks: [known.networkId] };
        });
        return {};
      },
    }),
  ];
}
