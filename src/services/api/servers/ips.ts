/** `/servers/{id}/ips`: the addresses alone, as older clients ask for them. */
import { CloudError } from '#domain/errors.ts';
import { type Route, route, type ServiceRequest } from '#http/route.ts';
import type { ApiDeps } from '../api-deps.ts';
import { serverNetworks } from './server-networks.ts';
import { shortAddresses } from './view.ts';
import { visibleServer } from './visible-server.ts';

const PATH = '/v2.1/servers/:id/ips';
const RULE = 'os_compute_api:ips';

export function serverIpRoutes(deps: ApiDeps): Route[] {
  const addresses = async (request: ServiceRequest<unknown, unknown>) => {
    const { id } = await visibleServer(deps, request);
    const networks = await serverNetworks(deps.db.queries, [id]);
    return shortAddresses(networks(id), (key) => key === 'version' || key === 'addr');
  };
  return [
    route({
      method: 'GET',
      path: PATH,
      doc: 'Lists the addresses of a server by network.',
      access: { rule: `${RULE}:index`, role: 'reader' },
      success: 200,
      handle: async (request) => ({ body: { addresses: await addresses(request) } }),
    }),
    route({
      method: 'GET',
      path: `${PATH}/:network`,
      doc: 'Lists the addresses of a server in one network.',
      access: { rule: `${RULE}:show`, role: 'reader' },
      success: 200,
      handle: async (request) => {
        const all = await addresses(request);
        const network = request.params.network ?? '';
        if (!Object.hasOwn(all, network))
          throw new CloudError('notThere', { reason: 'Instance is not a member of specified network' });
        return { body: { [network]: all[network] } };
      },
    }),
  ];
}
