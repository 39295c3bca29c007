/** MAC addresses, and the IPv6 address that a guest makes of its own. */
import type { Address } from './address.ts';
import type { Cidr } from './cidr.ts';

/** Of the range that OpenStack uses; `random`: 24 bits. */
export function macOf(random: number): string {
  const hex = random.toString(16).padStart(6, '0');
  return `fa:16:3e:${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4, 6)}`;
}

const MAC = /^([0-9a-fA-F]{2})([:-]?[0-9a-fA-F]{2}){5}$/;

/** The one spelling that we write, or null for what is none, or stands for many. */
export function parseMac(text: string): string | null {
  if (!MAC.test(text)) return null;
  const pairs = text.toLowerCase().replace(/[:-]/g, '').match(/../g) ?? [];
  const isMulticast = (Number.parseInt(pairs[0] ?? '', 16) & 1) === 1;
  return isMulticast || pairs.every((pair) => pair === '00') ? null : pairs.join(':');
}

/** Modified EUI-64 (RFC 4291): what a guest with this MAC takes in an IPv6 range of /64. */
export function eui64(cidr: Cidr, mac: string): Address {
  const bytes = mac.split(':').map((pair) => Number.parseInt(pair, 16));
  const [first = 0, ...rest] = bytes;
  const all = [first ^ 2, ...rest.slice(0, 2), 0xff, 0xfe, ...rest.slice(2)];
  const id = all.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
  return { version: 6, value: ((cidr.first >> 64n) << 64n) | id };
}
