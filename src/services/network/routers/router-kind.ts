/** Routers: what may be asked of them, and what happens then. Their interfaces are in `interfaces.ts`. */
import { Type } from 'typebox';
import type { Queries } from '#db/database.ts';
import { type ListedRouter, routerList } from '#db/repo/network/lists/routers.ts';
import { checkNetworkQuota } from '#db/repo/network/quotas.ts';
import {
  deleteRouter,
  floatingIpsThrough,
  gatewaysOf,
  insertRouter,
  interfacesOf,
  routesOf,
} from '#db/repo/network/routers.ts';
import { touch } from '#db/repo/network/standard.ts';
import { tagsOf } from '#db/repo/network/tags.ts';
import { CloudError } from '#domain/errors.ts';
import { ownerOf } from '../access.ts';
import { checkZones } from '../networks/network-kind.ts';
import type { Kind, View } from '../resource/collection.ts';
import { type Fields, STANDARD_FIELDS } from '../resource/list-query.ts';
import { Flag, flag, HostRoutes, Nullable, Owner, Standard, Text } from '../resource/schemas.ts';
import { standardView } from '../resource/standard-view.ts';
import { checkedRoutes } from './extra-routes.ts';
import { changeGateway, GatewayInfo } from './gateway.ts';

const Writable = {
  ...Standard,
  admin_state_up: Type.Optional(Flag),
  external_gateway_info: Type.Optional(GatewayInfo),
};

const CreateBody = Type.Object(
  { ...Writable, ...Owner, availability_zone_hints: Type.Optional(Type.Array(Text, { maxItems: 10 })) },
  { additionalProperties: false },
);
const ChangeBody = Type.Object(
  { ...Writable, routes: Type.Optional(Nullable(HostRoutes)) },
  { additionalProperties: false },
);

const FIELDS: Fields = {
  ...STANDARD_FIELDS,
  name: { column: 'name', as: 'text' },
  admin_state_up: { column: 'admin_state_up', as: 'flag' },
  status: { column: 'status', as: 'text' },
};

export const routerKind: Kind<ListedRouter, typeof CreateBody, typeof ChangeBody> = {
  one: 'router',
  many: 'routers',
  path: 'routers',
  fields: FIELDS,
  list: routerList,
  views: routerViews,
  missing: (id) => new CloudError('routerNotFound', { id }),
  create: {
    body: CreateBody,
    async run(change, body) {
      const { trx, who, now } = change;
      const projectId = ownerOf(who, body, 'create_router');
      checkZones(body.availability_zone_hints ?? []);
      await checkNetworkQuota(trx, projectId, 'router', 1);
      const { name, description } = body;
      const adminStateUp = flag(body.admin_state_up) ?? true;
      const router = await insertRouter(trx, { projectId, name, description, adminStateUp }, now);
      const gateway = body.external_gateway_info ?? null;
      return { id: router.id, networks: await changeGateway(change, router, gateway, 'create_router') };
    },
  },
  change: {
    body: ChangeBody,
    async run(change, row, body) {
      const { trx, now } = change;
      const gateways =
        body.external_gateway_info === undefined
          ? []
          : await changeGateway(change, row, body.external_gateway_info, 'update_router');
      const routes = body.routes === undefined ? null : await checkedRoutes(trx, row.id, body.routes ?? []);
      await touch(
        trx,
        'routers',
        row.id,
        {
          ...(body.name !== undefined && { name: body.name }),
          ...(body.description !== undefined && { description: body.description }),
          ...(body.admin_state_up !== undefined && { admin_state_up: Number(flag(body.admin_state_up)) }),
          ...(routes && { routes: JSON.stringify(routes) }),
        },
        now,
      );
      return [...gateways, ...(await networksOfRouter(trx, row.id))];
    },
  },
  async remove({ trx }, row) {
    if ((await floatingIpsThrough(trx, row.id)).length > 0)
      throw new CloudError('routerInUse', { id: row.id, reason: 'still has floating IPs' });
    const networks = await networksOfRouter(trx, row.id);
    await deleteRouter(trx, row.id);
    return networks;
  },
};

/** Those that it connects, and the one that it leads to. */
export async function networksOfRouter(db: Queries, id: string): Promise<string[]> {
  const gateway = (await gatewaysOf(db, [id])).get(id);
  const inside = (await interfacesOf(db, id)).map(({ networkId }) => networkId);
  return [...inside, ...(gateway ? [gateway.networkId] : [])];
}

/** Two queries for all of them. */
export async function routerViews(db: Queries, rows: readonly ListedRouter[]): Promise<View[]> {
  const ids = rows.map(({ id }) => id);
  const gateways = await gatewaysOf(db, ids);
  const tags = await tagsOf(db, ids);
  return rows.map((row) => {
    const gateway = gateways.get(row.id);
    return {
      ...standardView(row),
      name: row.name,
      admin_state_up: row.admin_state_up === 1,
      status: row.status,
      external_gateway_info: gateway
        ? {
            network_id: gateway.networkId,
            enable_snat: row.enable_snat === 1,
            external_fixed_ips: gateway.fixedIps.map(({ subnetId, address }) => ({
              subnet_id: subnetId,
              ip_address: address,
            })),
          }
        : null,
      routes: routesOf(row),
      availability_zone_hints: [],
      availability_zones: ['nova'],
      tags: tags.get(row.id) ?? [],
    };
  });
}
