/** Ranges of addresses: `10.0.0.0/24` and pools `{start, end}`. */
import { type Address, bitsOf, formatAddress, type IpVersion, parseAddress } from './address.ts';

/** Addresses from `first` to `last`, both included. */
export interface Range {
  readonly version: IpVersion;
  readonly first: bigint;
  readonly last: bigint;
}

export interface Cidr extends Range {
  readonly prefix: number;
}

/** As the API has it, and the record as JSON. */
export interface Pool {
  readonly start: string;
  readonly end: string;
}

const PREFIX = /^(0|[1-9][0-9]{0,2})$/;

/** Null for what is none. Bits of hosts are dropped. */
export function parseCidr(text: string): Cidr | null {
  const [base = '', prefixText = '', ...rest] = text.split('/');
  const address = parseAddress(base);
  if (!address || rest.length > 0 || !PREFIX.test(prefixText)) return null;
  const prefix = Number(prefixText);
  return prefix > bitsOf(address.version) ? null : cidrOf(address, prefix);
}

/** The range that an address is in. */
export function cidrOf({ version, value }: Address, prefix: number): Cidr {
  const hosts = BigInt(bitsOf(version) - prefix);
  const first = (value >> hosts) << hosts;
  return { version, prefix, first, last: first + (1n << hosts) - 1n };
}

export function formatCidr({ version, first, prefix }: Cidr): string {
  return `${formatAddress({ version, value: first })}/${prefix}`;
}

/** Of text that is known to be a range; anything else is a defect. */
export function cidrFrom(text: string): Cidr {
  const cidr = parseCidr(text);
  if (!cidr) throw new TypeError(`'${text}' is no range of addresses`);
  return cidr;
}

/** Null where one end is no address, they are of two families, or the wrong way round. */
export function parsePool({ start, end }: Pool): Range | null {
  const [first, last] = [parseAddress(start), parseAddress(end)];
  if (!first || !last || first.version !== last.version || first.value > last.value) return null;
  return { version: first.version, first: first.value, last: last.value };
}

export function formatPool({ version, first, last }: Range): Pool {
  return { start: formatAddress({ version, value: first }), end: formatAddress({ version, value: last }) };
}

export function sizeOf(range: Range): bigint {
  return range.last - range.first + 1n;
}

export function has(range: Range, address: Address): boolean {
  return range.version === address.version && range.first <= address.value && address.value <= range.last;
}

export function overlaps(a: Range, b: Range): boolean {
  return a.version === b.version && a.first <= b.last && b.first <= a.last;
}

/** Whether all of `inner` is in `outer`. */
export function isInside(inner: Range, outer: Range): boolean {
  return inner.version === outer.version && outer.first <= inner.first && inner.last <= outer.last;
}

/** What a guest may have of a range: not the address of the range itself, nor IPv4's broadcast. */
export function usable(cidr: Cidr): Range {
  const { version, first, last, prefix } = cidr;
  if (prefix >= bitsOf(version) - 1) return { version, first, last };
  return { version, first: first + 1n, last: version === 4 ? last - 1n : last };
}

/** All that is usable, without the gateway; in one range or two. */
export function defaultPools(cidr: Cidr, gateway: Address | null): Range[] {
  const all = usable(cidr);
  if (!gateway || !has(all, gateway)) return [all];
  return [
    { ...all, last: gateway.value - 1n },
    { ...all, first: gateway.value + 1n },
  ].filter(({ first, last }) => first <= last);
}
