/** Subnets: what may be asked of them, and what happens then. */
import { Type } from 'typebox';
import type { Queries } from '#db/database.ts';
import { NOTHING } from '#db/repo/network/list-rows.ts';
import { type ListedSubnet, subnetList } from '#db/repo/network/lists/subnets.ts';
import { findNetwork } from '#db/repo/network/networks.ts';
import { checkNetworkQuota } from '#db/repo/network/quotas.ts';
import { hold, touch } from '#db/repo/network/standard.ts';
import { addServiceAddress, deleteSubnet, insertSubnet, removeServiceAddress } from '#db/repo/network/subnets.ts';
import { tagsOf } from '#db/repo/network/tags.ts';
import { CloudError } from '#domain/errors.ts';
import { ownerOf, requireOwner, scopeOf } from '../access.ts';
import type { Kind, View } from '../resource/collection.ts';
import { type Fields, STANDARD_FIELDS } from '../resource/list-query.ts';
import { AddressText, Flag, HostRoutes, isTrue, Nullable, Owner, Standard, Text, Uuid } from '../resource/schemas.ts';
import { standardView } from '../resource/standard-view.ts';
import { requireNoOverlap, requireUnusedGateway } from './checks.ts';
import { changedSubnet, newSubnet } from './values.ts';

const Pools = Type.Array(Type.Object({ start: AddressText, end: AddressText }, { additionalProperties: false }), {
  maxItems: 50,
});
const Mode = Nullable(Type.Enum(['slaac', 'dhcpv6-stateful', 'dhcpv6-stateless']));

const Writable = {
  ...Standard,
  gateway_ip: Type.Optional(Nullable(AddressText)),
  allocation_pools: Type.Optional(Nullable(Pools)),
  dns_nameservers: Type.Optional(Nullable(Type.Array(AddressText, { maxItems: 20 }))),
  host_routes: Type.Optional(Nullable(HostRoutes)),
  enable_dhcp: Type.Optional(Flag),
};

const CreateBody = Type.Object(
  {
    ...Writable,
    ...Owner,
    network_id: Uuid,
    ip_version: Type.Optional(Type.Union([Type.Enum([4, 6]), Type.Enum(['4', '6'])])),
    cidr: AddressText,
    subnetpool_id: Type.Optional(Type.Null()),
    ipv6_ra_mode: Type.Optional(Mode),
    ipv6_address_mode: Type.Optional(Mode),
    service_types: Type.Optional(Type.Array(Text, { maxItems: 0 })),
  },
  { additionalProperties: false },
);
const ChangeBody = Type.Object(Writable, { additionalProperties: false });

const FIELDS: Fields = {
  ...STANDARD_FIELDS,
  name: { column: 'name', as: 'text' },
  network_id: { column: 'network_id', as: 'text' },
  ip_version: { column: 'ip_version', as: 'number' },
  cidr: { column: 'cidr', as: 'cidr' },
  gateway_ip: { column: 'gateway_ip', as: 'text', nullable: true },
  enable_dhcp: { column: 'enable_dhcp', as: 'flag' },
  ipv6_ra_mode: { column: 'ipv6_ra_mode', as: 'text', nullable: true },
  ipv6_address_mode: { column: 'ipv6_address_mode', as: 'text', nullable: true },
  shared: { column: 'shared', as: 'flag' },
  'router:external': { column: 'external', as: 'flag' },
};

export const subnetKind: Kind<ListedSubnet, typeof CreateBody, typeof ChangeBody> = {
  one: 'subnet',
  many: 'subnets',
  path: 'subnets',
  fields: FIELDS,
  // No subnet is of a pool: whoever asks for those of one gets none.
  special: ['subnetpool_id', 'segment_id'],
  list: (projectId, query) => {
    const list = subnetList(projectId);
    return query.subnetpool_id === undefined && query.segment_id === undefined
      ? list
      : { ...list, where: [...list.where, NOTHING] };
  },
  views: subnetViews,
  missing: (id) => new CloudError('subnetNotFound', { id }),
  create: {
    body: CreateBody,
    async run({ trx, who, now }, body) {
      const network = await findNetwork(trx, body.network_id, scopeOf(who));
      if (!network) throw new CloudError('networkNotFound', { id: body.network_id });
      requireOwner(who, network, 'create_subnet');
      const isTheirs = body.project_id === undefined && body.tenant_id === undefined && who.isAdmin;
      const projectId = isTheirs ? network.project_id : ownerOf(who, body, 'create_subnet');
      const values = newSubnet(body);
      // Two that overlap must not be made at once.
      await hold(trx, 'networks', network.id);
      await requireNoOverlap(trx, network.id, values.cidr);
      await checkNetworkQuota(trx, projectId, 'subnet', 1);
      const wanted = { ...values, projectId, networkId: network.id, name: body.name, description: body.description };
      const { id } = await insertSubnet(trx, network, wanted, now);
      return { id, networks: [network.id] };
    },
  },
  change: {
    body: ChangeBody,
    async run({ trx, now }, row, body) {
      const columns = changedSubnet(row, body);
      if (columns.gateway_ip !== undefined && columns.gateway_ip !== row.gateway_ip)
        await requireUnusedGateway(trx, row);
      await touch(
        trx,
        'subnets',
        row.id,
        {
          ...columns,
          ...(body.name !== undefined && { name: body.name }),
          ...(body.description !== undefined && { description: body.description }),
        },
        now,
      );
      const network = await findNetwork(trx, row.network_id, null);
      if (body.enable_dhcp !== undefined && network) {
        const changed = { ...row, ...columns };
        if (isTrue(body.enable_dhcp)) await addServiceAddress(trx, network, changed, now);
        else await removeServiceAddress(trx, changed);
      }
      return [row.network_id];
    },
  },
  async remove({ trx }, row) {
    await deleteSubnet(trx, row);
    return [row.network_id];
  },
};

async function subnetViews(db: Queries, rows: readonly ListedSubnet[]): Promise<View[]> {
  const tags = await tagsOf(
    db,
    rows.map(({ id }) => id),
  );
  return rows.map((row) => ({
    ...standardView(row),
    name: row.name,
    network_id: row.network_id,
    ip_version: row.ip_version,
    cidr: row.cidr,
    subnetpool_id: null,
    gateway_ip: row.gateway_ip,
    enable_dhcp: row.enable_dhcp === 1,
    ipv6_ra_mode: row.ipv6_ra_mode,
    ipv6_address_mode: row.ipv6_address_mode,
    allocation_pools: JSON.parse(row.allocation_pools),
    dns_nameservers: JSON.parse(row.dns_nameservers),
    host_routes: JSON.parse(row.host_routes),
    service_types: [],
    tags: tags.get(row.id) ?? [],
  }));
}
