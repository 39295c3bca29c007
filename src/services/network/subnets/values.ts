/**
 * A subnet's ranges and addresses as clients write them, checked and in one spelling. Pure: what others of the network have is
 * looked at elsewhere.
 */
import type { HostRoute } from '#db/repo/network/subnets.ts';
import type { Ipv6Mode, SubnetRow } from '#db/tables/network.ts';
import { CloudError } from '#domain/errors.ts';
import { type Address, formatAddress, parseAddress } from '#domain/network/address.ts';
import {
  type Cidr,
  cidrFrom,
  defaultPools,
  formatCidr,
  formatPool,
  has,
  isInside,
  overlaps,
  type Pool,
  parseCidr,
  parsePool,
  type Range,
  usable,
} from '#domain/network/cidr.ts';
import { isTrue } from '../resource/schemas.ts';

type Flagged = boolean | string | number;

export interface SubnetValues {
  readonly gateway_ip?: string | null | undefined;
  readonly allocation_pools?: readonly Pool[] | null | undefined;
  readonly dns_nameservers?: readonly string[] | null | undefined;
  readonly host_routes?: readonly HostRoute[] | null | undefined;
  readonly enable_dhcp?: Flagged | undefined;
}

interface NewValues extends SubnetValues {
  readonly cidr: string;
  readonly ip_version?: number | string | undefined;
  readonly ipv6_ra_mode?: string | null | undefined;
  readonly ipv6_address_mode?: string | null | undefined;
}

/** Throws 400 or 409 with Neutron's words. */
export function newSubnet(body: NewValues) {
  const cidr = wantedCidr(body.cidr);
  if (body.ip_version !== undefined && Number(body.ip_version) !== cidr.version)
    invalid(`ip_version '${body.ip_version}' does not match the cidr '${body.cidr}'`);
  const gateway = body.gateway_ip === undefined ? firstOf(cidr) : gatewayOf(cidr, body.gateway_ip);
  const pools = body.allocation_pools ? poolsOf(cidr, body.allocation_pools) : defaultPools(cidr, gateway);
  requireGatewayOutside(gateway, pools);
  const enableDhcp = body.enable_dhcp === undefined || isTrue(body.enable_dhcp);
  const { raMode, addressMode } = modesOf(cidr, body, enableDhcp);
  return {
    ipVersion: cidr.version,
    cidr: formatCidr(cidr),
    gateway: gateway && formatAddress(gateway),
    enableDhcp,
    raMode,
    addressMode,
    pools: pools.map(formatPool),
    dnsNameservers: nameservers(body.dns_nameservers ?? []),
    hostRoutes: routes(cidr, body.host_routes ?? []),
  };
}

/** The columns that are to change. Throws as `newSubnet`. */
export function changedSubnet(row: SubnetRow, body: SubnetValues) {
  const cidr = cidrFrom(row.cidr);
  const before = row.gateway_ip === null ? null : parseAddress(row.gateway_ip);
  const gateway = body.gateway_ip === undefined ? before : gatewayOf(cidr, body.gateway_ip);
  const pools = body.allocation_pools ? poolsOf(cidr, body.allocation_pools) : null;
  const known = (JSON.parse(row.allocation_pools) as Pool[]).flatMap((pool) => parsePool(pool) ?? []);
  if (pools || body.gateway_ip !== undefined) requireGatewayOutside(gateway, pools ?? known);
  if (body.enable_dhcp !== undefined && !isTrue(body.enable_dhcp) && row.ipv6_address_mode !== null)
    invalid('ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False');
  return {
    ...(body.gateway_ip !== undefined && { gateway_ip: gateway && formatAddress(gateway) }),
    ...(pools && { allocation_pools: JSON.stringify(pools.map(formatPool)) }),
    ...(body.dns_nameservers && { dns_nameservers: JSON.stringify(nameservers(body.dns_nameservers)) }),
    ...(body.host_routes && { host_routes: JSON.stringify(routes(cidr, body.host_routes)) }),
    ...(body.enable_dhcp !== undefined && { enable_dhcp: Number(isTrue(body.enable_dhcp)) }),
  };
}

function wantedCidr(text: string): Cidr {
  const cidr = parseCidr(text);
  if (!cidr) invalid(`'${text}' is not a valid IP subnet`);
  const canonical = formatCidr(cidr);
  const [base = ''] = text.split('/');
  if (parseAddress(base)?.value !== cidr.first)
    invalid(`'${text}' isn't a recognized IP subnet cidr, '${canonical}' is recommended`);
  if (cidr.prefix === 0) invalid('0 is not allowed as CIDR prefix length');
  if (isForbidden(cidr)) invalid(`'${text}' is no range that guests can have`);
  return cidr;
}

/** Multicast, loopback and link-local are for other uses. */
const FORBIDDEN = ['127.0.0.0/8', '224.0.0.0/4', '240.0.0.0/4', '0.0.0.0/8', '::/127', 'ff00::/8', 'fe80::/10'].map(
  cidrFrom,
);

function isForbidden(cidr: Cidr): boolean {
  return FORBIDDEN.some((range) => overlaps(range, cidr));
}

function firstOf(cidr: Cidr): Address | null {
  const { first, last } = usable(cidr);
  return first === last && cidr.prefix > 30 && cidr.version === 4 ? null : { version: cidr.version, value: first };
}

/** It may be outside of the range: then it is reached without one. */
function gatewayOf(cidr: Cidr, text: string | null): Address | null {
  if (text === null) return null;
  const gateway = parseAddress(text);
  if (!gateway || gateway.version !== cidr.version) invalid(`'${text}' is not a valid gateway IP`);
  if (has(cidr, gateway) && !has(usable(cidr), gateway)) invalid('Gateway is not valid on subnet');
  return gateway;
}

function poolsOf(cidr: Cidr, wanted: readonly Pool[]): Range[] {
  const pools = wanted.map((pool) => {
    const range = parsePool(pool);
    const text = `${pool.start}-${pool.end}`;
    if (!range || range.version !== cidr.version) throw new CloudError('invalidAllocationPool', { pool: text });
    if (!isInside(range, usable(cidr)))
      throw new CloudError('outOfBoundsAllocationPool', { pool: text, cidr: formatCidr(cidr) });
    return range;
  });
  const sorted = pools.toSorted((a, b) => (a.first < b.first ? -1 : 1));
  sorted.forEach((pool, index) => {
    const next = sorted[index + 1];
    if (!next || !overlaps(pool, next)) return;
    const both = [pool, next].map((each) => Object.values(formatPool(each)).join('-')).join(', ');
    throw new CloudError('overlappingAllocationPools', { pools: both, cidr: formatCidr(cidr) });
  });
  return pools;
}

function requireGatewayOutside(gateway: Address | null, pools: readonly Range[]): void {
  const pool = gateway && pools.find((each) => has(each, gateway));
  if (gateway && pool) {
    const text = Object.values(formatPool(pool)).join('-');
    throw new CloudError('gatewayConflictWithAllocationPools', { address: formatAddress(gateway), pool: text });
  }
}

function modesOf(cidr: Cidr, body: NewValues, enableDhcp: boolean) {
  const raMode = (body.ipv6_ra_mode ?? null) as Ipv6Mode | null;
  const addressMode = (body.ipv6_address_mode ?? null) as Ipv6Mode | null;
  if (raMode === null && addressMode === null) return { raMode, addressMode };
  if (cidr.version === 4) invalid('ipv6_ra_mode and ipv6_address_mode are only valid for ip_version 6');
  if (!enableDhcp) invalid('ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False');
  if (raMode !== null && addressMode !== null && raMode !== addressMode)
    invalid(`ipv6_ra_mode set to '${raMode}' with ipv6_address_mode set to '${addressMode}' is not valid`);
  if ((addressMode ?? raMode) !== 'dhcpv6-stateful' && cidr.prefix !== 64)
    invalid(
      `Invalid CIDR ${formatCidr(cidr)} for IPv6 address mode. OpenStack uses the EUI-64 address format, which requires the prefix to be /64`,
    );
  return { raMode, addressMode };
}

function nameservers(wanted: readonly string[]): string[] {
  const servers = wanted.map((text) => {
    const address = parseAddress(text);
    if (!address) invalid(`'${text}' is not a valid nameserver`);
    return formatAddress(address);
  });
  if (new Set(servers).size < servers.length) invalid('Duplicate nameserver');
  return servers;
}

function routes(cidr: Cidr, wanted: readonly HostRoute[]): HostRoute[] {
  return wanted.map(({ destination, nexthop }) => {
    const to = parseCidr(destination);
    const via = parseAddress(nexthop);
    if (!to || !via || to.version !== cidr.version || via.version !== cidr.version)
      invalid(`'${destination}' via '${nexthop}' is not a valid host route`);
    return { destination: formatCidr(to), nexthop: formatAddress(via) };
  });
}

function invalid(reason: string): never {
  throw new CloudError('invalidInput', { reason });
}
