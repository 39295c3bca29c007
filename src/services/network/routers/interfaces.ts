/** `add_router_interface` and `remove_router_interface`, by subnet or by port; extra routes one by one. */
import { Type } from 'typebox';
import type { ListedRouter } from '#db/repo/network/lists/routers.ts';
import { findNetwork } from '#db/repo/network/networks.ts';
import { deletePorts } from '#db/repo/network/ports.ts';
import {
  addInterface,
  floatingIpsThrough,
  interfacesOf,
  type RouterInterface,
  routesOf,
} from '#db/repo/network/routers.ts';
import { hold, touch } from '#db/repo/network/standard.ts';
import { findSubnet, subnetsOf } from '#db/repo/network/subnets.ts';
import type { SubnetRow } from '#db/tables/network.ts';
import { CloudError } from '#domain/errors.ts';
import { parseAddress } from '#domain/network/address.ts';
import { cidrFrom, has, overlaps } from '#domain/network/cidr.ts';
import { type Route, route, type ServiceRequest } from '#http/route.ts';
import { mayWrite, requireOwner, scopeOf, whoOf } from '../access.ts';
import type { NetworkDeps } from '../deps.ts';
import { type Change, find, type View } from '../resource/collection.ts';
import { HostRoutes, Uuid } from '../resource/schemas.ts';
import { write } from '../write.ts';
import { canonical, checkedRoutes, isSameRoute } from './extra-routes.ts';
import { givePort } from './give-port.ts';
import { networksOfRouter, routerKind, routerViews } from './router-kind.ts';

const InterfaceBody = Type.Object(
  { subnet_id: Type.Optional(Uuid), port_id: Type.Optional(Uuid) },
  { additionalProperties: true },
);
const RoutesBody = Type.Object({ router: Type.Object({ routes: HostRoutes }, { additionalProperties: false }) });

interface Asked {
  readonly subnet_id?: string;
  readonly port_id?: string;
}

export function routerInterfaceRoutes(deps: NetworkDeps): readonly Route[] {
  const change =
    (rule: string, run: (change: Change, router: ListedRouter, body: Asked) => Promise<RouterInterface[]>) =>
    async (request: ServiceRequest<unknown, unknown>) => {
      const who = whoOf(request);
      const body = await write(deps, async (trx) => {
        const router = await find(trx, routerKind, request.params.id ?? '', who);
        requireOwner(who, router, rule);
        // Two interfaces that do not go together must not be added at once.
        await hold(trx, 'routers', router.id);
        const before = await networksOfRouter(trx, router.id);
        const done = await run({ trx, who, now: deps.now() }, router, request.body as Asked);
        return {
          result: interfaceView(router, done),
          networks: [...before, ...done.map(({ networkId }) => networkId)],
        };
      });
      return { body };
    };
  const changeRoutes =
    (run: (known: ReturnType<typeof routesOf>, given: ReturnType<typeof routesOf>) => ReturnType<typeof routesOf>) =>
    async (request: ServiceRequest<unknown, unknown>) => {
      const who = whoOf(request);
      const given = (request.body as { router: { routes: ReturnType<typeof routesOf> } }).router.routes;
      const id = await write(deps, async (trx) => {
        const router = await find(trx, routerKind, request.params.id ?? '', who);
        requireOwner(who, router, 'update_router');
        const routes = await checkedRoutes(trx, router.id, run(routesOf(router), given.map(canonical)));
        await touch(trx, 'routers', router.id, { routes: JSON.stringify(routes) }, deps.now());
        return { result: router.id, networks: await networksOfRouter(trx, router.id) };
      });
      const router = await find(deps.db.queries, routerKind, id, who);
      return { body: { router: (await routerViews(deps.db.queries, [router]))[0] } };
    };
  const put = (name: string, doc: string, rule: string) => ({
    method: 'PUT' as const,
    path: `/v2.0/routers/:id/${name}`,
    doc,
    access: mayWrite(rule),
    success: 200,
  });
  return [
    route({
      ...put('add_router_interface', 'Connects a subnet, or a port that exists.', 'add_router_interface'),
      body: InterfaceBody,
      handle: change('add_router_interface', add),
    }),
    route({
      ...put('remove_router_interface', 'Disconnects a subnet, or a port.', 'remove_router_interface'),
      body: InterfaceBody,
      handle: change('remove_router_interface', remove),
    }),
    route({
      ...put('add_extraroutes', 'Adds routes to those that the router has.', 'update_router'),
      body: RoutesBody,
      handle: changeRoutes((known, given) => [...known, ...given]),
    }),
    route({
      ...put('remove_extraroutes', 'Takes routes away.', 'update_router'),
      body: RoutesBody,
      handle: changeRoutes((known, given) => known.filter((each) => !given.some((gone) => isSameRoute(each, gone)))),
    }),
  ];
}

async function add(change: Change, router: ListedRouter, asked: Asked): Promise<RouterInterface[]> {
  if ((asked.subnet_id === undefined) === (asked.port_id === undefined))
    bad('Either subnet_id or port_id must be specified');
  if (asked.port_id !== undefined) return givePort(change, router, asked.port_id, checkSubnet);
  const { trx, who, now } = change;
  const subnet = await findSubnet(trx, asked.subnet_id ?? '', scopeOf(who));
  if (!subnet) throw new CloudError('subnetNotFound', { id: asked.subnet_id ?? '' });
  // Nobody makes himself the gateway of others.
  const network = await findNetwork(trx, subnet.network_id, null);
  if (network) requireOwner(who, network, 'create_port:device_owner');
  if (subnet.gateway_ip === null) bad('Subnet for router interface must have a gateway IP');
  await checkSubnet(change, router, subnet);
  const gateway = parseAddress(subnet.gateway_ip);
  if (!gateway || !has(cidrFrom(subnet.cidr), gateway)) bad('Subnet for router interface has its gateway elsewhere');
  const wish = { subnetId: subnet.id, address: subnet.gateway_ip };
  const port = await addInterface(trx, router, subnet.network_id, wish, now);
  return (await interfacesOf(trx, router.id)).filter(({ portId }) => portId === port.id);
}

/** Throws 400 for a subnet that the router has, or that overlaps one which it has. */
async function checkSubnet({ trx }: Change, router: ListedRouter, subnet: SubnetRow): Promise<void> {
  const inside = await interfacesOf(trx, router.id);
  if (inside.some(({ subnetId }) => subnetId === subnet.id)) bad(`Router already has a port on subnet ${subnet.id}`);
  const outside = (await networksOfRouter(trx, router.id)).filter(
    (id) => !inside.some((each) => each.networkId === id),
  );
  const others = outside.length === 0 ? [] : await subnetsOf(trx, outside);
  const known = [...inside, ...others.map(({ id, cidr }) => ({ subnetId: id, cidr }))];
  const other = known.find(({ cidr }) => overlaps(cidrFrom(cidr), cidrFrom(subnet.cidr)));
  if (other)
    bad(`Cidr ${subnet.cidr} of subnet ${subnet.id} overlaps with cidr ${other.cidr} of subnet ${other.subnetId}`);
}

async function remove({ trx }: Change, router: ListedRouter, asked: Asked): Promise<RouterInterface[]> {
  if (asked.subnet_id === undefined && asked.port_id === undefined)
    bad('Either subnet_id or port_id must be specified');
  const all = await interfacesOf(trx, router.id);
  const gone = all.filter(
    ({ portId, subnetId }) =>
      (asked.port_id === undefined || portId === asked.port_id) &&
      (asked.subnet_id === undefined || subnetId === asked.subnet_id),
  );
  if (gone.length === 0) throw notThere(router.id, asked, all);
  for (const { subnetId, cidr } of gone) {
    if ((await floatingIpsThrough(trx, router.id, subnetId)).length > 0)
      throw new CloudError('routerInterfaceInUseByFloatingIp', { subnet: subnetId, id: router.id });
    if (routesOf(router).some(({ nexthop }) => isIn(cidr, nexthop)))
      throw new CloudError('routerInterfaceInUseByRoute', { subnet: subnetId, id: router.id });
  }
  for (const { portId, subnetId } of gone) {
    await trx.deleteFrom('port_addresses').where('port_id', '=', portId).where('subnet_id', '=', subnetId).execute();
    // A port that somebody gave may have been in several subnets.
    const isLast = all.filter((each) => each.portId === portId).every((each) => gone.includes(each));
    if (isLast) await deletePorts(trx, [portId]);
  }
  return gone;
}

function notThere(id: string, asked: Asked, all: readonly RouterInterface[]): CloudError {
  if (asked.port_id === undefined)
    return new CloudError('routerInterfaceNotFoundForSubnet', { id, subnet: asked.subnet_id ?? '' });
  if (all.some(({ portId }) => portId === asked.port_id))
    return new CloudError('conflict', {
      reason: `Subnet id ${asked.subnet_id} does not match the one on port ${asked.port_id}`,
    });
  return new CloudError('routerInterfaceNotFound', { id, port: asked.port_id });
}

function isIn(cidr: string, address: string): boolean {
  const parsed = parseAddress(address);
  return parsed !== null && has(cidrFrom(cidr), parsed);
}

function interfaceView(router: ListedRouter, done: readonly RouterInterface[]): View {
  const [first] = done;
  return {
    id: router.id,
    tenant_id: router.project_id,
    project_id: router.project_id,
    port_id: first?.portId,
    network_id: first?.networkId,
    subnet_id: first?.subnetId,
    subnet_ids: done.map(({ subnetId }) => subnetId),
  };
}

function bad(reason: string): never {
  throw new CloudError('badRequest', { reason: `Bad router request: ${reason}.` });
}
