/** What a port may have, and who may give it that. */
import type { Queries } from '#db/database.ts';
import type { FixedIpWish } from '#db/repo/network/fixed-ips.ts';
import type { AddressPair } from '#db/repo/network/ports.ts';
import { ensureDefaultGroup, findSecurityGroup } from '#db/repo/network/security-groups.ts';
import type { NetworkRow } from '#db/tables/network.ts';
import { CloudError } from '#domain/errors.ts';
import { formatAddress, parseAddress } from '#domain/network/address.ts';
import { formatCidr, parseCidr } from '#domain/network/cidr.ts';
import { DEVICE_OWNERS, isNetworkOwned, isServerOwned, OWNED_ELSEWHERE } from '#domain/network/device-owners.ts';
import { MAX_FIXED_IPS } from '#domain/network/quota.ts';
import { requireAdmin, scopeOf, type Who } from '../access.ts';
import { macFrom } from './mac.ts';

const MAX_PAIRS = 10;

interface Asked {
  readonly device_owner?: string | null | undefined;
  readonly mac_address?: string | undefined;
  readonly port_security_enabled?: unknown;
  readonly allowed_address_pairs?: unknown;
  readonly fixed_ips?: readonly { readonly ip_address?: string | undefined }[] | undefined;
}

/** Some things only the owner of the network decides. Throws 403. */
export function checkNetworkRights(
  who: Who,
  network: Pick<NetworkRow, 'id' | 'project_id' | 'external' | 'shared'>,
  body: Asked,
  rule: string,
): void {
  if (who.isAdmin || network.project_id === who.projectId) return;
  if (network.external === 1 && network.shared === 0)
    throw new CloudError('externalNetworkForbidden', { id: network.id });
  if (isNetworkOwned(body.device_owner ?? '')) requireAdmin(who, `${rule}:device_owner`);
  for (const name of ['mac_address', 'port_security_enabled', 'allowed_address_pairs'] as const)
    if (body[name] !== undefined) requireAdmin(who, `${rule}:${name}`);
  if (body.fixed_ips?.some(({ ip_address }) => ip_address !== undefined))
    requireAdmin(who, `${rule}:fixed_ips:ip_address`);
}

/**
 * Routers' and floating IPs' ports come with them, and a server is given a port by the compute service: a port that says
 * otherwise would be on a host where nothing uses it. Throws 400.
 */
export async function checkDevice(trx: Queries, deviceId: string, deviceOwner: string): Promise<void> {
  if (OWNED_ELSEWHERE.includes(deviceOwner) || deviceOwner === DEVICE_OWNERS.dhcp)
    throw new CloudError('invalidInput', {
      reason: `device_owner '${deviceOwner}' is set by the network service itself`,
    });
  if (!isServerOwned(deviceOwner) || deviceId === '') return;
  const server = await trx
    .selectFrom('servers')
    .select('id')
    .where('id', '=', deviceId)
    .where('deleted_at', 'is', null)
    .executeTakeFirst();
  if (server)
    throw new CloudError('invalidInput', {
      reason: `server ${deviceId} is given a port by the compute service: attach the port there`,
    });
}

/** Throws 400 for more than a port can have. */
export function wishesOf(
  fixedIps: readonly { subnet_id?: string | undefined; ip_address?: string | undefined }[] | undefined,
): FixedIpWish[] | undefined {
  if (fixedIps && fixedIps.length > MAX_FIXED_IPS)
    throw new CloudError('invalidInput', { reason: 'Exceeded maximum amount of fixed ips per port' });
  return fixedIps?.map(({ subnet_id, ip_address }) => ({
    ...(subnet_id !== undefined && { subnetId: subnet_id }),
    ...(ip_address !== undefined && { address: canonical(ip_address) }),
  }));
}

function canonical(text: string): string {
  const address = parseAddress(text);
  if (!address) throw new CloudError('invalidInput', { reason: `'${text}' is not a valid IP address` });
  return formatAddress(address);
}

export interface Secured {
  readonly projectId: string;
  readonly isSecured: boolean;
  /** The network's own ports are in no group unless somebody says so. */
  readonly isService: boolean;
}

/**
 * The groups of a port: those that are named, else the project's default one. Throws 404 for one that is not there for the
 * caller, 409 where port security is off.
 */
export async function groupsFor(
  trx: Queries,
  who: Who,
  { projectId, isSecured, isService }: Secured,
  wanted: readonly string[] | undefined,
  now: number,
): Promise<string[]> {
  if (wanted === undefined) {
    if (!isSecured || isService) return [];
    return [(await ensureDefaultGroup(trx, projectId, now)).id];
  }
  if (wanted.length > 0 && !isSecured) throw new CloudError('portSecurityPortHasSecurityGroup', {});
  for (const id of wanted)
    if (!(await findSecurityGroup(trx, id, scopeOf(who)))) throw new CloudError('securityGroupNotFound', { id });
  return [...wanted];
}

/** Canonical. Throws 400 for what is none, 409 where port security is off: then anything passes anyway. */
export function pairsOf(
  wanted: readonly { ip_address: string; mac_address?: string | undefined }[],
  isSecured: boolean,
): AddressPair[] {
  if (wanted.length > 0 && !isSecured) throw new CloudError('addressPairAndPortSecurityRequired', {});
  if (wanted.length > MAX_PAIRS)
    throw new CloudError('invalidInput', { reason: `a port may have ${MAX_PAIRS} allowed address pairs` });
  return wanted.map(({ ip_address, mac_address }) => ({
    ip_address: addressOrRange(ip_address),
    // Empty: the port's own, also when that changes.
    mac_address: mac_address === undefined || mac_address === '' ? '' : macFrom(mac_address),
  }));
}

function addressOrRange(text: string): string {
  const address = parseAddress(text);
  if (address) return formatAddress(address);
  const cidr = parseCidr(text);
  if (!cidr) throw new CloudError('invalidInput', { reason: `'${text}' is neither a valid IP address nor a range` });
  return formatCidr(cidr);
}
