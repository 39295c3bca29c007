/** Routes that a router has besides those to its subnets and out. */
import type { Queries } from '#db/database.ts';
import { gatewaysOf, interfacesOf } from '#db/repo/network/routers.ts';
import { type HostRoute, subnetsOf } from '#db/repo/network/subnets.ts';
import { CloudError } from '#domain/errors.ts';
import { formatAddress, parseAddress } from '#domain/network/address.ts';
import { cidrFrom, formatCidr, has, parseCidr } from '#domain/network/cidr.ts';

const MAX_ROUTES = 30;

/** In one spelling, each once. Throws 400 for what is none, and for a next hop that the router does not reach. */
export async function checkedRoutes(
  trx: Queries,
  routerId: string,
  wanted: readonly HostRoute[],
): Promise<HostRoute[]> {
  const routes = unique(wanted.map(canonical));
  if (routes.length > MAX_ROUTES)
    throw new CloudError('badRequest', {
      reason: `Unable to complete operation for ${routerId}. The number of routes exceeds the maximum ${MAX_ROUTES}.`,
    });
  if (routes.length === 0) return [];
  const interfaces = await interfacesOf(trx, routerId);
  const gateway = (await gatewaysOf(trx, [routerId])).get(routerId);
  const outside = gateway ? await subnetsOf(trx, [gateway.networkId]) : [];
  const reached = [...interfaces, ...outside].map(({ cidr }) => cidrFrom(cidr));
  const own = new Set([...interfaces, ...(gateway?.fixedIps ?? [])].map(({ address }) => address));
  for (const route of routes) {
    const hop = parseAddress(route.nexthop);
    if (!hop || !reached.some((cidr) => has(cidr, hop))) refuse(routes, 'the nexthop is not connected with router');
    if (own.has(route.nexthop)) refuse(routes, 'the nexthop is used by router');
  }
  return routes;
}

export const isSameRoute = (a: HostRoute, b: HostRoute): boolean =>
  a.destination === b.destination && a.nexthop === b.nexthop;

export function canonical({ destination, nexthop }: HostRoute): HostRoute {
  const to = parseCidr(destination);
  const via = parseAddress(nexthop);
  if (!to || !via || to.version !== via.version)
    throw new CloudError('invalidInput', { reason: `'${destination}' via '${nexthop}' is not a valid route` });
  return { destination: formatCidr(to), nexthop: formatAddress(via) };
}

function unique(routes: readonly HostRoute[]): HostRoute[] {
  return routes.filter((route, index) => routes.findIndex((each) => isSameRoute(each, route)) === index);
}

function refuse(routes: readonly HostRoute[], reason: string): never {
  throw new CloudError('invalidRoutes', { routes: JSON.stringify(routes).slice(0, 500), reason });
}
