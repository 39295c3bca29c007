/** Networks: what may be asked of them, and what happens then. */
import { Type } from 'typebox';
import type { Queries } from '#db/database.ts';
import { type ListedNetwork, networkList } from '#db/repo/network/lists/networks.ts';
import { deleteNetwork, insertNetwork } from '#db/repo/network/networks.ts';
import { checkNetworkQuota } from '#db/repo/network/quotas.ts';
import { touch } from '#db/repo/network/standard.ts';
import { CloudError } from '#domain/errors.ts';
import { DEVICE_OWNERS } from '#domain/network/device-owners.ts';
import { ownerOf } from '../access.ts';
import type { Kind } from '../resource/collection.ts';
import { type Fields, STANDARD_FIELDS } from '../resource/list-query.ts';
import { Flag, flag, Nullable, Owner, Standard, Text, Whole } from '../resource/schemas.ts';
import { networkViews } from './view.ts';

const MIN_MTU = 68;
const MAX_MTU = 65_535;

const Writable = {
  ...Standard,
  admin_state_up: Type.Optional(Flag),
  shared: Type.Optional(Flag),
  'router:external': Type.Optional(Flag),
  is_default: Type.Optional(Flag),
  mtu: Type.Optional(Whole(MIN_MTU, MAX_MTU)),
  port_security_enabled: Type.Optional(Flag),
  dns_domain: Type.Optional(Text),
};

const CreateBody = Type.Object(
  {
    ...Writable,
    ...Owner,
    'provider:network_type': Type.Optional(Nullable(Text)),
    'provider:physical_network': Type.Optional(Nullable(Text)),
    'provider:segmentation_id': Type.Optional(Nullable(Whole(1, 2 ** 24 - 1))),
    availability_zone_hints: Type.Optional(Type.Array(Text, { maxItems: 10 })),
  },
  { additionalProperties: false },
);
const ChangeBody = Type.Object(Writable, { additionalProperties: false });

const FIELDS: Fields = {
  ...STANDARD_FIELDS,
  name: { column: 'name', as: 'text' },
  status: { column: 'status', as: 'text' },
  admin_state_up: { column: 'admin_state_up', as: 'flag' },
  shared: { column: 'shared', as: 'flag' },
  'router:external': { column: 'external', as: 'flag' },
  is_default: { column: 'is_default', as: 'flag' },
  mtu: { column: 'mtu', as: 'number' },
  port_security_enabled: { column: 'port_security', as: 'flag' },
  dns_domain: { column: 'dns_domain', as: 'text' },
  'provider:segmentation_id': { column: 'vni', as: 'number' },
};

export const networkKind: Kind<ListedNetwork, typeof CreateBody, typeof ChangeBody> = {
  one: 'network',
  many: 'networks',
  path: 'networks',
  fields: FIELDS,
  list: networkList,
  views: networkViews,
  missing: (id) => new CloudError('networkNotFound', { id }),
  create: {
    body: CreateBody,
    adminOnly: {
      shared: false,
      'router:external': false,
      is_default: false,
      'provider:network_type': null,
      'provider:physical_network': null,
      'provider:segmentation_id': null,
    },
    async run({ trx, who, now }, body) {
      const projectId = ownerOf(who, body, 'create_network');
      checkProvider(body);
      checkZones(body.availability_zone_hints ?? []);
      await checkNetworkQuota(trx, projectId, 'network', 1);
      const isDefault = flag(body.is_default) ?? false;
      if (isDefault) await clearDefault(trx);
      const vni = body['provider:segmentation_id'];
      if (typeof vni === 'number' || typeof vni === 'string') await requireFreeVni(trx, Number(vni));
      const row = await insertNetwork(
        trx,
        {
          projectId,
          name: body.name,
          description: body.description,
          adminStateUp: flag(body.admin_state_up) ?? true,
          shared: flag(body.shared) ?? false,
          external: flag(body['router:external']) ?? false,
          isDefault,
          portSecurity: flag(body.port_security_enabled) ?? true,
          dnsDomain: body.dns_domain ?? '',
          ...(body.mtu !== undefined && { mtu: mtuOf(body.mtu) }),
          ...(vni !== undefined && vni !== null && { vni: Number(vni) }),
        },
        now,
      );
      return { id: row.id, networks: [] };
    },
  },
  change: {
    body: ChangeBody,
    adminOnly: ['shared', 'router:external', 'is_default'],
    async run({ trx, now }, row, body) {
      const external = flag(body['router:external']);
      if (external === false && row.external === 1) await requireNoWayOut(trx, row.id);
      const shared = flag(body.shared);
      if (shared === false && row.shared === 1) await requireUnshared(trx, row);
      const isDefault = flag(body.is_default);
      if (isDefault) await clearDefault(trx);
      await touch(
        trx,
        'networks',
        row.id,
        {
          ...(body.name !== undefined && { name: body.name }),
          ...(body.description !== undefined && { description: body.description }),
          ...(body.admin_state_up !== undefined && { admin_state_up: Number(flag(body.admin_state_up)) }),
          ...(shared !== undefined && { shared: Number(shared) }),
          ...(external !== undefined && { external: Number(external) }),
          ...(isDefault !== undefined && { is_default: Number(isDefault) }),
          ...(body.mtu !== undefined && { mtu: mtuOf(body.mtu) }),
          ...(body.port_security_enabled !== undefined && {
            port_security: Number(flag(body.port_security_enabled)),
          }),
          ...(body.dns_domain !== undefined && { dns_domain: body.dns_domain }),
        },
        now,
      );
      return [row.id];
    },
  },
  async remove({ trx }, row) {
    await deleteNetwork(trx, row.id);
    return [row.id];
  },
};

/** A number, or its text, which the schema does not measure. */
function mtuOf(value: number | string): number {
  const mtu = Number(value);
  if (mtu < MIN_MTU || mtu > MAX_MTU)
    throw new CloudError('invalidInput', { reason: `'${value}' is no MTU between ${MIN_MTU} and ${MAX_MTU}` });
  return mtu;
}

/** Networks are VXLANs; what is external is the machine's own way out. */
function checkProvider(body: Readonly<Record<string, unknown>>): void {
  const type = body['provider:network_type'] ?? null;
  const isExternal = flag(body['router:external'] as boolean | undefined) ?? false;
  const wanted = isExternal ? ['flat', 'local'] : ['vxlan'];
  if (type !== null && !wanted.includes(String(type)))
    throw new CloudError('invalidInput', { reason: `provider:network_type '${type}' is not supported here` });
  const id = body['provider:segmentation_id'] ?? null;
  const number = Number(id);
  if (id !== null && (number < 1 || number >= 2 ** 24))
    throw new CloudError('invalidInput', { reason: `'${id}' is no segmentation id` });
}

export function checkZones(zones: readonly string[]): void {
  const unknown = zones.find((zone) => zone !== 'nova');
  if (unknown !== undefined)
    throw new CloudError('notThere', { reason: `AvailabilityZone ${unknown} could not be found.` });
}

/** There is one default at most. */
async function clearDefault(trx: Queries): Promise<void> {
  await trx.updateTable('networks').set({ is_default: 0 }).where('is_default', '=', 1).execute();
}

async function requireFreeVni(trx: Queries, vni: number): Promise<void> {
  if (await trx.selectFrom('networks').select('id').where('vni', '=', vni).executeTakeFirst())
    throw new CloudError('conflict', { reason: `Unable to create the network. The tunnel ID ${vni} is in use.` });
}

async function requireNoWayOut(trx: Queries, id: string): Promise<void> {
  const user = await trx
    .selectFrom('ports')
    .select('id')
    .where('network_id', '=', id)
    .where('device_owner', 'in', [DEVICE_OWNERS.routerGateway, DEVICE_OWNERS.floatingIp])
    .limit(1)
    .executeTakeFirst();
  if (user)
    throw new CloudError('conflict', {
      reason: `External network ${id} cannot be updated to be made non-external, since it has existing gateway ports`,
    });
}

/** Another project's port keeps it shared. */
async function requireUnshared(trx: Queries, { id, project_id, name }: ListedNetwork): Promise<void> {
  const user = await trx
    .selectFrom('ports')
    .select('id')
    .where('network_id', '=', id)
    .where('project_id', 'not in', [project_id, ''])
    .limit(1)
    .executeTakeFirst();
  if (user)
    throw new CloudError('conflict', {
      reason: `Unable to reconfigure sharing settings for network ${name || id}. Multiple tenants are using it.`,
    });
}
