/** Ethernet frames that no honest guest sends. */

const BROADCAST = 'ff:ff:ff:ff:ff:ff';

function ethernet(from: string, to: string, type: number, payload: Buffer): Buffer {
  const head = Buffer.from(`${to}${from}`.replaceAll(':', ''), 'hex');
  const kind = Buffer.alloc(2);
  kind.writeUInt16BE(type);
  return Buffer.concat([head, kind, payload]);
}

function ip4(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

/** The ones' complement sum of IP, over whatever is put together for it. */
function checksum(...parts: readonly Buffer[]): number {
  const all = Buffer.concat(parts);
  const even = all.length % 2 === 0 ? all : Buffer.concat([all, Buffer.alloc(1)]);
  let sum = 0;
  for (let at = 0; at < even.length; at += 2) sum += even.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** An answer to a question that nobody asked: `address` is at `from`. The text is in its padding. */
export function arpAnswer(from: string, address: string, text: string): Buffer {
  const mac = Buffer.from(from.replaceAll(':', ''), 'hex');
  const body = [Buffer.from('0001080006040002', 'hex'), mac, ip4(address), mac, ip4(address), Buffer.from(text)];
  return ethernet(from, BROADCAST, 0x0806, Buffer.concat(body));
}

/** "I am here now", of somebody else's MAC. */
export function reverseArp(mac: string, text: string): Buffer {
  const own = Buffer.from(mac.replaceAll(':', ''), 'hex');
  const body = [Buffer.from('0001080006040003', 'hex'), own, Buffer.alloc(4), own, Buffer.alloc(4), Buffer.from(text)];
  return ethernet(mac, BROADCAST, 0x8035, Buffer.concat(body));
}

export interface Datagram {
  readonly mac: string;
  readonly to?: string;
  readonly from: string;
  readonly address: string;
  readonly ports: readonly [from: number, to: number];
  readonly text: string;
}

/** UDP over IPv4, without a checksum of its own. */
export function datagram({ mac, to = BROADCAST, from, address, ports, text }: Datagram): Buffer {
  const data = Buffer.from(text);
  const udp = Buffer.alloc(8);
  for (const [at, value] of [...ports, 8 + data.length].entries()) udp.writeUInt16BE(value, at * 2);
  const head = Buffer.concat([
    Buffer.from('4500000000000000401100000000', 'hex').subarray(0, 12),
    ip4(from),
    ip4(address),
  ]);
  head.writeUInt16BE(28 + data.length, 2);
  head.writeUInt16BE(checksum(head), 10);
  return ethernet(mac, to, 0x0800, Buffer.concat([head, udp, data]));
}

/** "I am your router", to all. `from` is written with all its 32 digits. */
export function routerAdvertisement(mac: string, from: string, text: string): Buffer {
  const source = Buffer.from(from.replaceAll(':', ''), 'hex');
  const target = Buffer.from('ff020000000000000000000000000001', 'hex');
  // An option that nobody knows, of three times eight bytes.
  const option = Buffer.concat([Buffer.from([253, 3]), Buffer.from(text.padEnd(22).slice(0, 22))]);
  const body = Buffer.concat([Buffer.from('86000000400007080000000000000000', 'hex'), option]);
  const pseudo = Buffer.from([0, 0, 0, body.length, 0, 0, 0, 58]);
  body.writeUInt16BE(checksum(source, target, pseudo, body), 2);
  const head = Buffer.concat([Buffer.from([0x60, 0, 0, 0, 0, body.length, 58, 255]), source, target]);
  return ethernet(mac, '33:33:00:00:00:01', 0x86dd, Buffer.concat([head, body]));
}

/** What a host sends to another one for a frame. Source: RFC 7348, 5. */
export function tunnelled(vni: number, frame: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt8(0x08, 0);
  head.writeUInt32BE(vni << 8, 4);
  return Buffer.concat([head, frame]);
}
