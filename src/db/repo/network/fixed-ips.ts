/** Which addresses a port gets: those that were asked for, or one of each kind that its network has. */
import type { Queries } from '#db/database.ts';
import type { PortAddressRow, SubnetRow } from '#db/tables/network.ts';
import { CloudError } from '#domain/errors.ts';
import { type Address, hexToText, parseAddress, toHex } from '#domain/network/address.ts';
import { cidrFrom, has, usable } from '#domain/network/cidr.ts';
import { eui64 } from '#domain/network/mac.ts';
import { freeAddress, isFree } from './address-allocation.ts';

/** At least one of the two. */
export interface FixedIpWish {
  readonly subnetId?: string | undefined;
  readonly address?: string | undefined;
}

export interface Addressee {
  readonly networkId: string;
  readonly mac: string;
  /** Routers have the address that they were asked to have, and make none of their MAC. */
  readonly isRouter: boolean;
}

export type Chosen = Pick<PortAddressRow, 'subnet_id' | 'address'>;

/**
 * Chooses and writes nothing. `wanted` undefined: one IPv4 address, one of DHCPv6, and one of each range in which guests
 * make their own. Throws 409 where nothing is free or an address is taken, 400 for what the network cannot give.
 */
export async function chooseAddresses(
  trx: Queries,
  to: Addressee,
  wanted: readonly FixedIpWish[] | undefined,
): Promise<Chosen[]> {
  if (wanted?.length === 0) return [];
  const subnets = await trx
    .selectFrom('subnets')
    .selectAll()
    .where('network_id', '=', to.networkId)
    .orderBy('created_at')
    .orderBy('id')
    .execute();
  if (wanted === undefined) return automatic(trx, to, subnets);
  const chosen: Chosen[] = [];
  // One after the other: two wishes of one port may be for the same subnet.
  for (const wish of wanted) chosen.push(await choose(trx, to, subnets, wish, chosen));
  return chosen;
}

/** Whether guests make their addresses of their MACs there. */
export function isAutoAddressed(subnet: Pick<SubnetRow, 'ip_version' | 'ipv6_address_mode'>): boolean {
  return (
    subnet.ip_version === 6 && (subnet.ipv6_address_mode === 'slaac' || subnet.ipv6_address_mode === 'dhcpv6-stateless')
  );
}

async function automatic(trx: Queries, to: Addressee, subnets: readonly SubnetRow[]): Promise<Chosen[]> {
  const auto = subnets.filter(isAutoAddressed);
  const given = subnets.filter((subnet) => !isAutoAddressed(subnet));
  const chosen: Chosen[] = [];
  for (const version of [4, 6]) {
    const candidates = given.filter((subnet) => subnet.ip_version === version);
    if (candidates.length > 0) chosen.push(await firstFree(trx, to, candidates));
  }
  if (!to.isRouter) for (const subnet of auto) chosen.push(await ownAddress(trx, subnet, to.mac));
  return chosen;
}

async function firstFree(trx: Queries, to: Addressee, candidates: readonly SubnetRow[]): Promise<Chosen> {
  for (const subnet of candidates) {
    const address = await freeAddress(trx, subnet);
    if (address !== null) return { subnet_id: subnet.id, address };
  }
  throw new CloudError('ipAddressGenerationFailure', { network: to.networkId });
}

async function ownAddress(trx: Queries, subnet: SubnetRow, mac: string): Promise<Chosen> {
  return exactly(trx, subnet, eui64(cidrFrom(subnet.cidr), mac), []);
}

async function choose(
  trx: Queries,
  to: Addressee,
  subnets: readonly SubnetRow[],
  { subnetId, address: text }: FixedIpWish,
  chosen: readonly Chosen[],
): Promise<Chosen> {
  const address = text === undefined ? null : parseAddress(text);
  if (text !== undefined && !address)
    throw new CloudError('invalidInput', { reason: `'${text}' is not a valid IP address` });
  if (subnetId === undefined) {
    if (!address) throw new CloudError('invalidInput', { reason: 'IP allocation requires subnet_id or ip_address' });
    const subnet = subnets.find((each) => has(cidrFrom(each.cidr), address));
    if (!subnet) throw new CloudError('invalidIpForNetwork', { address: text ?? '' });
    return exactly(trx, subnet, address, chosen);
  }
  const subnet = subnets.find(({ id }) => id === subnetId);
  if (!subnet) {
    const reason = `Failed to create port on network ${to.networkId}, because fixed_ips included invalid subnet ${subnetId}`;
    throw new CloudError('invalidInput', { reason });
  }
  if (address) return exactly(trx, subnet, address, chosen);
  if (isAutoAddressed(subnet) && !to.isRouter) return ownAddress(trx, subnet, to.mac);
  const free = await freeAddressBesides(trx, subnet, chosen);
  if (free === null) throw new CloudError('ipAddressGenerationFailure', { network: to.networkId });
  return { subnet_id: subnet.id, address: free };
}

async function exactly(trx: Queries, subnet: SubnetRow, address: Address, chosen: readonly Chosen[]): Promise<Chosen> {
  if (!has(usable(cidrFrom(subnet.cidr)), address))
    throw new CloudError('invalidIpForSubnet', { address: hexToText(toHex(address)) });
  const hex = toHex(address);
  const isMine = chosen.some((each) => each.subnet_id === subnet.id && each.address === hex);
  if (isMine || !(await isFree(trx, subnet.id, hex)))
    throw new CloudError('ipAddressAlreadyAllocated', { address: hexToText(hex), subnet: subnet.id });
  return { subnet_id: subnet.id, address: hex };
}

/** A port may have several addresses of one subnet, and none is written yet. */
async function freeAddressBesides(trx: Queries, subnet: SubnetRow, chosen: readonly Chosen[]): Promise<string | null> {
  const mine = new Set(chosen.filter((each) => each.subnet_id === subnet.id).map(({ address }) => address));
  for (let tries = 0; tries <= TRIES; tries++) {
    const free = await freeAddress(trx, subnet);
    if (free === null || !mine.has(free)) return free;
  }
  return null;
}

/** A subnet with so little room that the same address is free so many times in a row has no other. */
const TRIES = 32;
