/** Ports: what may be asked of them, and what happens then. */
import { Type } from 'typebox';
import { type ListedPort, portList } from '#db/repo/network/lists/ports.ts';
import { findNetwork } from '#db/repo/network/networks.ts';
import { deletePorts, insertPort } from '#db/repo/network/ports.ts';
import { checkNetworkQuota } from '#db/repo/network/quotas.ts';
import { CloudError } from '#domain/errors.ts';
import { textToHex } from '#domain/network/address.ts';
import { isNetworkOwned, OWNED_ELSEWHERE } from '#domain/network/device-owners.ts';
import { ownerOf, scopeOf } from '../access.ts';
import type { Kind } from '../resource/collection.ts';
import { type Fields, type RawQuery, STANDARD_FIELDS, valuesOf } from '../resource/list-query.ts';
import { FixedIps, Flag, flag, Nullable, Owner, Standard, Text, Uuid } from '../resource/schemas.ts';
import { changePort } from './change.ts';
import { checkDevice, checkNetworkRights, groupsFor, pairsOf, wishesOf } from './checks.ts';
import { macFrom } from './mac.ts';
import { portViews } from './view.ts';

const Writable = {
  ...Standard,
  admin_state_up: Type.Optional(Flag),
  device_id: Type.Optional(Nullable(Text)),
  device_owner: Type.Optional(Nullable(Text)),
  mac_address: Type.Optional(Type.String({ maxLength: 32 })),
  fixed_ips: Type.Optional(FixedIps),
  security_groups: Type.Optional(Nullable(Type.Array(Uuid, { maxItems: 100 }))),
  port_security_enabled: Type.Optional(Flag),
  allowed_address_pairs: Type.Optional(
    Nullable(
      Type.Array(
        Type.Object(
          { ip_address: Type.String({ maxLength: 64 }), mac_address: Type.Optional(Type.String({ maxLength: 32 })) },
          { additionalProperties: false },
        ),
        { maxItems: 100 },
      ),
    ),
  ),
  dns_name: Type.Optional(Type.String({ maxLength: 63, pattern: '^([a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)?\\.?$' })),
  'binding:host_id': Type.Optional(Nullable(Text)),
  'binding:vnic_type': Type.Optional(Type.Enum(['normal'])),
  'binding:profile': Type.Optional(
    Nullable(Type.Record(Type.String({ maxLength: 255 }), Type.Unknown(), { maxProperties: 32 })),
  ),
};

const CreateBody = Type.Object({ ...Writable, ...Owner, network_id: Uuid }, { additionalProperties: false });
const ChangeBody = Type.Object(Writable, { additionalProperties: false });

const FIELDS: Fields = {
  ...STANDARD_FIELDS,
  name: { column: 'name', as: 'text' },
  network_id: { column: 'network_id', as: 'text' },
  mac_address: { column: 'mac_address', as: 'mac' },
  admin_state_up: { column: 'admin_state_up', as: 'flag' },
  status: { column: 'status', as: 'text' },
  device_id: { column: 'device_id', as: 'text' },
  device_owner: { column: 'device_owner', as: 'text' },
  port_security_enabled: { column: 'port_security', as: 'flag' },
  dns_name: { column: 'dns_name', as: 'text' },
  'binding:host_id': { column: 'host', as: 'text' },
  'binding:vnic_type': { column: 'vnic_type', as: 'text' },
};

export const portKind: Kind<ListedPort, typeof CreateBody, typeof ChangeBody> = {
  one: 'port',
  many: 'ports',
  path: 'ports',
  fields: FIELDS,
  special: ['fixed_ips', 'security_groups', 'security_group_ids'],
  list: (projectId, query) => portList(projectId, conditionsOf(query)),
  views: portViews,
  missing: (id) => new CloudError('portNotFound', { id }),
  ownerOf: (row) => row.network_project,
  create: {
    body: CreateBody,
    adminOnly: { 'binding:host_id': '', 'binding:profile': null },
    async run({ trx, who, now }, body) {
      const network = await findNetwork(trx, body.network_id, scopeOf(who));
      if (!network) throw new CloudError('networkNotFound', { id: body.network_id });
      checkNetworkRights(who, network, body, 'create_port');
      const projectId = ownerOf(who, body, 'create_port');
      const deviceOwner = body.device_owner ?? '';
      await checkDevice(trx, body.device_id ?? '', deviceOwner);
      await checkNetworkQuota(trx, projectId, 'port', 1);
      const isSecured = flag(body.port_security_enabled) ?? network.port_security === 1;
      const row = await insertPort(
        trx,
        {
          projectId,
          networkId: network.id,
          name: body.name,
          description: body.description,
          mac: body.mac_address === undefined ? undefined : macFrom(body.mac_address),
          adminStateUp: flag(body.admin_state_up) ?? true,
          deviceId: body.device_id ?? '',
          deviceOwner,
          fixedIps: wishesOf(body.fixed_ips),
          portSecurity: isSecured,
          securityGroupIds: await groupsFor(
            trx,
            who,
            { projectId, isSecured, isService: isNetworkOwned(deviceOwner) },
            body.security_groups ?? undefined,
            now,
          ),
          allowedAddressPairs: pairsOf(body.allowed_address_pairs ?? [], isSecured),
          dnsName: body.dns_name ?? '',
          bindingHost: body['binding:host_id'] ?? '',
          bindingProfile: body['binding:profile'] ?? {},
        },
        now,
      );
      return { id: row.id, networks: [network.id] };
    },
  },
  change: {
    body: ChangeBody,
    adminOnly: ['binding:host_id', 'binding:profile', 'mac_address'],
    run: changePort,
  },
  async remove({ trx }, row) {
    if (OWNED_ELSEWHERE.includes(row.device_owner))
      throw new CloudError('servicePortInUse', { id: row.id, reason: `has device owner ${row.device_owner}` });
    await deletePorts(trx, [row.id]);
    return [row.network_id];
  },
};

/** `fixed_ips=ip_address=10.0.0.5`, `fixed_ips=subnet_id=…`: any of the addresses, in any of the subnets. */
function conditionsOf(query: RawQuery) {
  const fixedIps = valuesOf(query.fixed_ips);
  const of = (key: string) =>
    fixedIps.filter((each) => each.startsWith(`${key}=`)).map((each) => each.slice(key.length + 1));
  const isUnknown = (each: string) => !/^(ip_address|subnet_id)=/.test(each);
  const unknown = fixedIps.find(isUnknown);
  if (unknown !== undefined)
    throw new CloudError('badRequest', { reason: `'${unknown.slice(0, 100)}' is no filter of fixed_ips` });
  const [addresses, subnetIds] = [of('ip_address'), of('subnet_id')];
  const groups = [...valuesOf(query.security_groups), ...valuesOf(query.security_group_ids)];
  return {
    ...(addresses.length > 0 && { addresses: addresses.flatMap((text) => textToHex(text) ?? []) }),
    ...(subnetIds.length > 0 && { subnetIds }),
    ...(groups.length > 0 && { securityGroupIds: groups }),
  };
}
