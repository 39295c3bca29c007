/**
 * IPv4 and IPv6 addresses as text, as numbers and as the record keeps them: hex of fixed width (8 or 32 digits), which sorts
 * as the addresses do and says its family by its length.
 */

export type IpVersion = 4 | 6;

export interface Address {
  readonly version: IpVersion;
  readonly value: bigint;
}

const BITS: Readonly<Record<IpVersion, number>> = { 4: 32, 6: 128 };

export function bitsOf(version: IpVersion): number {
  return BITS[version];
}

/** Null for what is no address: zones, leading zeros and shortened IPv4 included. */
export function parseAddress(text: string): Address | null {
  if (text.length > 45) return null;
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

/** The one spelling that we write: RFC 5952 for IPv6. */
export function formatAddress({ version, value }: Address): string {
  return version === 4 ? formatIpv4(Number(value)) : formatIpv6(value);
}

/** As the record keeps it. */
export function toHex({ version, value }: Address): string {
  return value.toString(16).padStart(BITS[version] / 4, '0');
}

export function fromHex(hex: string): Address {
  return { version: hex.length === 8 ? 4 : 6, value: BigInt(`0x${hex}`) };
}

/** What the record keeps, as text. */
export function hexToText(hex: string): string {
  return hex.length === 8 ? formatIpv4(Number.parseInt(hex, 16)) : formatIpv6(BigInt(`0x${hex}`));
}

/** The text as the record keeps it, or null for what is no address. */
export function textToHex(text: string): string | null {
  const address = parseAddress(text);
  return address && toHex(address);
}

const OCTET = /^(0|[1-9][0-9]{0,2})$/;

function parseIpv4(text: string): Address | null {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => OCTET.test(part) && Number(part) < 256)) return null;
  return { version: 4, value: BigInt(parts.reduce((sum, part) => sum * 256 + Number(part), 0)) };
}

const GROUP = /^[0-9a-fA-F]{1,4}$/;

function parseIpv6(text: string): Address | null {
  const halves = withoutDots(text)?.split('::');
  if (!halves || halves.length > 2) return null;
  const [head = [], tail = []] = halves.map((half) => (half === '' ? [] : half.split(':')));
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return null;
  const groups = [...head, ...Array<string>(missing).fill('0'), ...tail];
  if (!groups.every((group) => GROUP.test(group))) return null;
  return { version: 6, value: BigInt(`0x${groups.map((group) => group.padStart(4, '0')).join('')}`) };
}

/** The IPv4 address that may stand at the end, as two groups. */
function withoutDots(text: string): string | null {
  if (!text.includes('.')) return text;
  const at = text.lastIndexOf(':') + 1;
  const ipv4 = parseIpv4(text.slice(at));
  if (!ipv4) return null;
  const hex = toHex(ipv4);
  return `${text.slice(0, at)}${hex.slice(0, 4)}:${hex.slice(4)}`;
}

function formatIpv4(value: number): string {
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
}

function formatIpv6(value: bigint): string {
  const groups = (value.toString(16).padStart(32, '0').match(/.{4}/g) ?? []).map((group) =>
    Number.parseInt(group, 16).toString(16),
  );
  let longest = { at: 0, length: 1 };
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (groups[at + length] === '0') length++;
    if (length > longest.length) longest = { at, length };
  }
  if (longest.length < 2) return groups.join(':');
  return `${groups.slice(0, longest.at).join(':')}::${groups.slice(longest.at + longest.length).join(':')}`;
}
