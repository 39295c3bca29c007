/** Floating IPs: what may be asked of them, and what happens then. */
import { Type } from 'typebox';
import type { Queries } from '#db/database.ts';
import { deleteFloatingIp, findFloatingIp, insertFloatingIp, pointFloatingIp } from '#db/repo/network/floating-ips.ts';
import { targetOf } from '#db/repo/network/floating-target.ts';
import { floatingIpList, type ListedFloatingIp } from '#db/repo/network/lists/floating-ips.ts';
import { findNetwork } from '#db/repo/network/networks.ts';
import { checkNetworkQuota } from '#db/repo/network/quotas.ts';
import { touch } from '#db/repo/network/standard.ts';
import { tagsOf } from '#db/repo/network/tags.ts';
import type { FloatingIpRow } from '#db/tables/network.ts';
import { CloudError } from '#domain/errors.ts';
import { hexToText } from '#domain/network/address.ts';
import { ownerOf, scopeOf } from '../access.ts';
import { wishesOf } from '../ports/checks.ts';
import type { Change, Kind, View } from '../resource/collection.ts';
import { type Fields, STANDARD_FIELDS } from '../resource/list-query.ts';
import { AddressText, Nullable, Owner, Text, Uuid } from '../resource/schemas.ts';
import { standardView } from '../resource/standard-view.ts';

const Writable = {
  description: Type.Optional(Text),
  port_id: Type.Optional(Nullable(Uuid)),
  fixed_ip_address: Type.Optional(Nullable(AddressText)),
};

const CreateBody = Type.Object(
  {
    ...Writable,
    ...Owner,
    floating_network_id: Uuid,
    floating_ip_address: Type.Optional(Nullable(AddressText)),
    subnet_id: Type.Optional(Nullable(Uuid)),
    dns_name: Type.Optional(Text),
    dns_domain: Type.Optional(Text),
  },
  { additionalProperties: false },
);
const ChangeBody = Type.Object(Writable, { additionalProperties: false });

const FIELDS: Fields = {
  ...STANDARD_FIELDS,
  floating_network_id: { column: 'network_id', as: 'text' },
  floating_ip_address: { column: 'address', as: 'address' },
  port_id: { column: 'fixed_port_id', as: 'text', nullable: true },
  fixed_ip_address: { column: 'fixed_address', as: 'address', nullable: true },
  router_id: { column: 'router_id', as: 'text', nullable: true },
  status: { column: 'status', as: 'text' },
  dns_name: { column: 'dns_name', as: 'text' },
  dns_domain: { column: 'dns_domain', as: 'text' },
};

interface Pointing {
  readonly port_id?: string | null;
  readonly fixed_ip_address?: string | null;
}

export const floatingIpKind: Kind<ListedFloatingIp, typeof CreateBody, typeof ChangeBody> = {
  one: 'floatingip',
  many: 'floatingips',
  path: 'floatingips',
  fields: FIELDS,
  list: floatingIpList,
  views: floatingIpViews,
  missing: (id) => new CloudError('floatingIpNotFound', { id }),
  create: {
    body: CreateBody,
    adminOnly: { floating_ip_address: null },
    async run(change, body) {
      const { trx, who, now } = change;
      const projectId = ownerOf(who, body, 'create_floatingip');
      const network = await findNetwork(trx, body.floating_network_id, scopeOf(who));
      if (!network) throw new CloudError('networkNotFound', { id: body.floating_network_id });
      if (network.external === 0) bad(`Bad floatingip request: Network ${network.id} is not a valid external network.`);
      await checkNetworkQuota(trx, projectId, 'floatingip', 1);
      const wish = {
        ...(body.subnet_id && { subnet_id: body.subnet_id }),
        ...(body.floating_ip_address && { ip_address: body.floating_ip_address }),
      };
      const wanted = Object.keys(wish).length > 0 ? wishesOf([wish])?.[0] : undefined;
      const row = await insertFloatingIp(
        trx,
        {
          projectId,
          networkId: network.id,
          wanted,
          description: body.description,
          dnsName: body.dns_name,
          dnsDomain: body.dns_domain,
        },
        now,
      );
      const networks = body.port_id ? await point(change, row, body) : [];
      return { id: row.id, networks: [network.id, ...networks] };
    },
  },
  change: {
    body: ChangeBody,
    async run(change, row, body) {
      const { trx, now } = change;
      if (body.description !== undefined)
        await touch(trx, 'floating_ips', row.id, { description: body.description }, now);
      const isPointed = body.port_id !== undefined || (body.fixed_ip_address ?? null) !== null;
      return isPointed ? await point(change, row, body) : [];
    },
  },
  async remove({ trx }, row) {
    const networks = [row.network_id, ...(await networkOfPort(trx, row.fixed_port_id))];
    await deleteFloatingIp(trx, row);
    return networks;
  },
};

/** Leads it to a port of its project, or nowhere; answers the networks that this matters to. */
async function point({ trx, who, now }: Change, row: FloatingIpRow, body: Pointing): Promise<string[]> {
  const before = await findFloatingIp(trx, row.id, null);
  const left = await networkOfPort(trx, before?.fixed_port_id ?? null);
  const portId = body.port_id === undefined ? (before?.fixed_port_id ?? null) : body.port_id;
  if (portId === null) {
    if ((body.fixed_ip_address ?? null) !== null) bad('fixed_ip_address cannot be specified without a port_id');
    await pointFloatingIp(trx, row.id, null, now);
    return [row.network_id, ...left];
  }
  const projectId = who.isAdmin ? null : row.project_id;
  const fixedAddress = wishesOf(body.fixed_ip_address ? [{ ip_address: body.fixed_ip_address }] : [])?.[0]?.address;
  const target = await targetOf(trx, row, { portId, fixedAddress, projectId });
  await pointFloatingIp(trx, row.id, target, now);
  return [row.network_id, ...left, ...(await networkOfPort(trx, portId))];
}

async function networkOfPort(db: Queries, portId: string | null): Promise<string[]> {
  if (portId === null) return [];
  const port = await db.selectFrom('ports').select('network_id').where('id', '=', portId).executeTakeFirst();
  return port ? [port.network_id] : [];
}

async function floatingIpViews(db: Queries, rows: readonly ListedFloatingIp[]): Promise<View[]> {
  const tags = await tagsOf(
    db,
    rows.map(({ id }) => id),
  );
  return rows.map((row) => ({
    ...standardView(row),
    floating_network_id: row.network_id,
    floating_ip_address: hexToText(row.address),
    port_id: row.fixed_port_id,
    fixed_ip_address: row.fixed_address === null ? null : hexToText(row.fixed_address),
    router_id: row.router_id,
    status: row.status,
    dns_name: row.dns_name,
    dns_domain: row.dns_domain,
    tags: tags.get(row.id) ?? [],
  }));
}

function bad(reason: string): never {
  throw new CloudError('badRequest', { reason });
}
