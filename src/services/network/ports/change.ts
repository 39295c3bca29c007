/** PUT of a port. */
import type { ListedPort } from '#db/repo/network/lists/ports.ts';
import { findNetwork } from '#db/repo/network/networks.ts';
import { type AddressPair, replaceAddresses, requireFreeMac, setSecurityGroups } from '#db/repo/network/ports.ts';
import { touch } from '#db/repo/network/standard.ts';
import { CloudError } from '#domain/errors.ts';
import { isNetworkOwned, isServerOwned } from '#domain/network/device-owners.ts';
import type { Change } from '../resource/collection.ts';
import { flag } from '../resource/schemas.ts';
import { checkDevice, checkNetworkRights, groupsFor, pairsOf, wishesOf } from './checks.ts';
import { macFrom } from './mac.ts';

type Flagged = boolean | string | number;

interface PortChanges {
  readonly name?: string;
  readonly description?: string;
  readonly admin_state_up?: Flagged;
  readonly device_id?: string | null;
  readonly device_owner?: string | null;
  readonly mac_address?: string;
  readonly fixed_ips?: readonly { subnet_id?: string; ip_address?: string }[];
  readonly security_groups?: readonly string[] | null;
  readonly port_security_enabled?: Flagged;
  readonly allowed_address_pairs?: readonly { ip_address: string; mac_address?: string }[] | null;
  readonly dns_name?: string;
  readonly 'binding:host_id'?: string | null;
  readonly 'binding:profile'?: Readonly<Record<string, unknown>> | null;
}

/** Answers the network. */
export async function changePort(change: Change, row: ListedPort, body: PortChanges): Promise<readonly string[]> {
  const { trx, who, now } = change;
  const network = await findNetwork(trx, row.network_id, null);
  if (network) checkNetworkRights(who, { ...network, external: 0 }, body, 'update_port');
  await checkDeviceChange(change, row, body);
  const isSecured = flag(body.port_security_enabled) ?? row.port_security === 1;
  await changeGroups(change, row, body, isSecured);
  const pairs = body.allowed_address_pairs === undefined ? knownPairs(row) : (body.allowed_address_pairs ?? []);
  const allowed = pairsOf(pairs, isSecured);
  const mac = body.mac_address === undefined ? row.mac_address : macFrom(body.mac_address);
  if (mac !== row.mac_address) {
    if (isServerOwned(row.device_owner))
      throw new CloudError('portInUse', { id: row.id, network: row.network_id, device: row.device_id });
    await requireFreeMac(trx, row.network_id, mac);
  }
  const fixedIps = wishesOf(body.fixed_ips);
  if (fixedIps) await replaceAddresses(trx, row, fixedIps);
  await touch(
    trx,
    'ports',
    row.id,
    {
      mac_address: mac,
      port_security: Number(isSecured),
      allowed_address_pairs: JSON.stringify(allowed),
      ...(body.name !== undefined && { name: body.name }),
      ...(body.description !== undefined && { description: body.description }),
      ...(body.admin_state_up !== undefined && { admin_state_up: Number(flag(body.admin_state_up)) }),
      ...(body.device_id !== undefined && { device_id: body.device_id ?? '' }),
      ...(body.device_owner !== undefined && { device_owner: body.device_owner ?? '' }),
      ...(body.dns_name !== undefined && { dns_name: body.dns_name }),
      ...(body['binding:host_id'] !== undefined && { binding_host: body['binding:host_id'] ?? '' }),
      ...(body['binding:profile'] !== undefined && {
        binding_profile: JSON.stringify(body['binding:profile'] ?? {}),
      }),
    },
    now,
  );
  return [row.network_id];
}

/** What routers and floating IPs have stays theirs. */
async function checkDeviceChange({ trx }: Change, row: ListedPort, body: PortChanges): Promise<void> {
  const deviceId = body.device_id === undefined ? row.device_id : (body.device_id ?? '');
  const deviceOwner = body.device_owner === undefined ? row.device_owner : (body.device_owner ?? '');
  if (deviceId === row.device_id && deviceOwner === row.device_owner) return;
  if (isNetworkOwned(row.device_owner))
    throw new CloudError('portInUse', { id: row.id, network: row.network_id, device: row.device_id });
  await checkDevice(trx, deviceId, deviceOwner);
}

async function changeGroups(
  { trx, who, now }: Change,
  row: ListedPort,
  body: PortChanges,
  isSecured: boolean,
): Promise<void> {
  if (body.security_groups !== undefined) {
    const whose = { projectId: row.project_id, isSecured, isService: isNetworkOwned(row.device_owner) };
    await setSecurityGroups(trx, row.id, await groupsFor(trx, who, whose, body.security_groups ?? [], now));
    return;
  }
  if (isSecured) return;
  const group = await trx
    .selectFrom('port_security_groups')
    .select('group_id')
    .where('port_id', '=', row.id)
    .limit(1)
    .executeTakeFirst();
  if (group) throw new CloudError('portSecurityPortHasSecurityGroup', {});
}

function knownPairs(row: ListedPort): AddressPair[] {
  return JSON.parse(row.allowed_address_pairs);
}
