/**
 * Routers. An interface is a port with the router as its device and an address in a subnet; the gateway is one on an external
 * network. Nothing of them is written a second time.
 */
import type { Queries } from '#db/database.ts';
import type { PortRow, RouterRow } from '#db/tables/network.ts';
import { CloudError } from '#domain/errors.ts';
import { DEVICE_OWNERS } from '#domain/network/device-owners.ts';
import type { FixedIpWish } from './fixed-ips.ts';
import { deletePorts, type FixedIp, fixedIpsOf, insertPort } from './ports.ts';
import { type Described, standard } from './standard.ts';
import type { HostRoute } from './subnets.ts';
import { deleteTags } from './tags.ts';

export interface NewRouter extends Described {
  readonly adminStateUp?: boolean;
  readonly enableSnat?: boolean;
}

export interface RouterPort {
  readonly portId: string;
  readonly networkId: string;
  readonly fixedIps: readonly FixedIp[];
}

/** An interface in one subnet. */
export interface RouterInterface {
  readonly portId: string;
  readonly networkId: string;
  readonly subnetId: string;
  readonly cidr: string;
  /** Text. */
  readonly address: string;
}

/** Null where it is not; any project's where `projectId` is null. */
export async function findRouter(db: Queries, id: string, projectId: string | null): Promise<RouterRow | null> {
  let query = db.selectFrom('routers').selectAll().where('id', '=', id);
  if (projectId !== null) query = query.where('project_id', '=', projectId);
  return (await query.executeTakeFirst()) ?? null;
}

export async function insertRouter(trx: Queries, wanted: NewRouter, now: number): Promise<RouterRow> {
  const row: RouterRow = {
    ...standard(wanted, now),
    admin_state_up: Number(wanted.adminStateUp ?? true),
    enable_snat: Number(wanted.enableSnat ?? true),
    routes: '[]',
    host: null,
  };
  await trx.insertInto('routers').values(row).execute();
  return row;
}

/** Throws 409 while it has interfaces; its gateway goes with it. */
export async function deleteRouter(trx: Queries, id: string): Promise<void> {
  if ((await interfacesOf(trx, id)).length > 0) throw new CloudError('routerInUse', { id, reason: 'still has ports' });
  await removeGateway(trx, id);
  await trx.deleteFrom('routers').where('id', '=', id).execute();
  await deleteTags(trx, [id]);
}

/** By router, of each that has one; in one query for all of them. */
export async function gatewaysOf(db: Queries, routerIds: readonly string[]): Promise<Map<string, RouterPort>> {
  if (routerIds.length === 0) return new Map();
  const rows = await db
    .selectFrom('ports')
    .leftJoin('port_addresses', 'port_addresses.port_id', 'ports.id')
    .select(['ports.id', 'ports.device_id', 'ports.network_id', 'port_addresses.subnet_id', 'port_addresses.address'])
    .where('ports.device_id', 'in', [...routerIds])
    .where('ports.device_owner', '=', DEVICE_OWNERS.routerGateway)
    .execute();
  const grouped = Map.groupBy(rows, ({ device_id }) => device_id);
  return new Map(
    [...grouped].map(([routerId, each]) => [
      routerId,
      {
        portId: each[0]?.id ?? '',
        networkId: each[0]?.network_id ?? '',
        fixedIps: fixedIpsOf(
          each.flatMap(({ subnet_id, address }) => (subnet_id && address ? [{ subnet_id, address }] : [])),
        ),
      },
    ]),
  );
}

/** In the order in which they were added. */
export async function interfacesOf(db: Queries, routerId: string): Promise<RouterInterface[]> {
  const rows = await db
    .selectFrom('ports')
    .innerJoin('port_addresses', 'port_addresses.port_id', 'ports.id')
    .innerJoin('subnets', 'subnets.id', 'port_addresses.subnet_id')
    .select(['ports.id', 'ports.network_id', 'subnets.id as subnet_id', 'subnets.cidr', 'port_addresses.address'])
    .where('ports.device_id', '=', routerId)
    .where('ports.device_owner', '=', DEVICE_OWNERS.routerInterface)
    .orderBy('ports.created_at')
    .orderBy('ports.id')
    .execute();
  return rows.map((row) => ({
    portId: row.id,
    networkId: row.network_id,
    subnetId: row.subnet_id,
    cidr: row.cidr,
    address: fixedIpsOf([row])[0]?.address ?? '',
  }));
}

/** Has it one already, that goes. Throws as `insertPort`. The port belongs to no project: nobody deletes it by itself. */
export async function setGateway(
  trx: Queries,
  routerId: string,
  networkId: string,
  fixedIps: readonly FixedIpWish[] | undefined,
  now: number,
): Promise<PortRow> {
  await removeGateway(trx, routerId);
  return insertPort(
    trx,
    {
      projectId: '',
      networkId,
      deviceId: routerId,
      deviceOwner: DEVICE_OWNERS.routerGateway,
      portSecurity: false,
      fixedIps,
    },
    now,
  );
}

export async function removeGateway(trx: Queries, routerId: string): Promise<void> {
  const gateway = (await gatewaysOf(trx, [routerId])).get(routerId);
  if (gateway) await deletePorts(trx, [gateway.portId]);
}

/** Makes an interface with this address. That it may have one is the caller's to know. */
export async function addInterface(
  trx: Queries,
  router: Pick<RouterRow, 'id' | 'project_id'>,
  networkId: string,
  address: FixedIpWish,
  now: number,
): Promise<PortRow> {
  return insertPort(
    trx,
    {
      projectId: router.project_id,
      networkId,
      deviceId: router.id,
      deviceOwner: DEVICE_OWNERS.routerInterface,
      portSecurity: false,
      fixedIps: [address],
    },
    now,
  );
}

/** The routers that lead from a subnet to an external network, and are the subnet's. */
export async function routersBetween(db: Queries, subnetId: string, externalId: string): Promise<string[]> {
  const rows = await db
    .selectFrom('ports as inner')
    .innerJoin('port_addresses', 'port_addresses.port_id', 'inner.id')
    .innerJoin('ports as outer', 'outer.device_id', 'inner.device_id')
    .select('inner.device_id')
    .where('port_addresses.subnet_id', '=', subnetId)
    .where('inner.device_owner', '=', DEVICE_OWNERS.routerInterface)
    .where('outer.device_owner', '=', DEVICE_OWNERS.routerGateway)
    .where('outer.network_id', '=', externalId)
    .orderBy('inner.device_id')
    .execute();
  return rows.map(({ device_id }) => device_id);
}

/** Floating IPs that need the router, or only one subnet of it. */
export async function floatingIpsThrough(db: Queries, routerId: string, subnetId?: string): Promise<string[]> {
  let query = db.selectFrom('floating_ips').select('id').where('router_id', '=', routerId);
  if (subnetId !== undefined)
    query = query.where((e) =>
      e.exists(
        e
          .selectFrom('port_addresses')
          .select('port_addresses.address')
          .whereRef('port_addresses.port_id', '=', 'floating_ips.fixed_port_id')
          .whereRef('port_addresses.address', '=', 'floating_ips.fixed_address')
          .where('port_addresses.subnet_id', '=', subnetId),
      ),
    );
  return (await query.execute()).map(({ id }) => id);
}

export function routesOf({ routes }: Pick<RouterRow, 'routes'>): HostRoute[] {
  return JSON.parse(routes);
}
