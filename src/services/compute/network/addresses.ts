/** Arithmetic on addresses, as far as the texts for the kernel's tools need it. */

/** 4 or 6; what is neither counts as IPv4 and is refused by the tool that gets it. */
export function familyOf(address: string): 4 | 6 {
  return address.includes(':') ? 6 : 4;
}

/** The prefix's length of a CIDR. */
export function prefixOf(cidr: string): number {
  return Number(cidr.slice(cidr.indexOf('/') + 1));
}

/** `255.255.240.0` for 20. */
export function maskOf(prefix: number): string {
  return fromNumber(prefix === 0 ? 0 : (0xffffffff << (32 - prefix)) >>> 0);
}

export function toNumber(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}

export function fromNumber(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
}

/** Whether all of a range, or an address, lies in another range; both are canonical. */
export function contains(outer: string, inner: string): boolean {
  if (familyOf(outer) !== familyOf(inner)) return false;
  const bits = familyOf(outer) === 6 ? 128 : 32;
  const parts = (text: string) => ({
    value: bits === 32 ? BigInt(toNumber(hostOf(text))) : BigInt(hexOf(hostOf(text))),
    prefix: text.includes('/') ? prefixOf(text) : bits,
  });
  const [whole, part] = [parts(outer), parts(inner)];
  const shift = BigInt(bits - whole.prefix);
  return part.prefix >= whole.prefix && part.value >> shift === whole.value >> shift;
}

/** The address before the slash. */
export function hostOf(cidr: string): string {
  return cidr.split('/')[0] ?? '';
}

/** Whether two IPv4 ranges have an address in common. */
export function overlap(one: string, other: string): boolean {
  const shift = 32 - Math.min(prefixOf(one), prefixOf(other));
  const net = (cidr: string) => Math.floor(toNumber(cidr.slice(0, cidr.indexOf('/'))) / 2 ** shift);
  return net(one) === net(other);
}

/** The link-local address that a card gives itself by its MAC. */
export function linkLocal(mac: string): string {
  const bytes = mac.split(':').map((part) => Number.parseInt(part, 16));
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = bytes;
  const groups = [(a ^ 2) * 256 + b, c * 256 + 0xff, 0xfe00 + d, e * 256 + f];
  return `fe80::${groups.map((group) => group.toString(16)).join(':')}`;
}

/** All 128 bits of an IPv6 address as a number for rules that compare bytes. */
export function hexOf(address: string): string {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(address);
  const value = dotted ? toNumber(dotted[2] ?? '') : 0;
  const text = dotted ? `${dotted[1]}${(value >>> 16).toString(16)}:${(value & 0xffff).toString(16)}` : address;
  const [head = '', tail] = text.split('::');
  const words = (part: string) => part.split(':').filter((word) => word !== '');
  const [front, back] = [words(head), words(tail ?? '')];
  const middle = Array.from({ length: tail === undefined ? 0 : 8 - front.length - back.length }, () => '0');
  return `0x${[...front, ...middle, ...back].map((word) => word.padStart(4, '0')).join('')}`;
}
