/** Numbers and times in the forms of ECMA-119; most numbers are recorded twice, in either byte order. */

/** Bytes of a sector, which is also the logical block. */
export const SECTOR = 2048;

/** ECMA-119 7.2.3. */
export function both16(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt16LE(value, 0);
  bytes.writeUInt16BE(value, 2);
  return bytes;
}

/** ECMA-119 7.3.3. */
export function both32(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(value, 0);
  bytes.writeUInt32BE(value, 4);
  return bytes;
}

/** The seven bytes of a directory record's time (ECMA-119 9.1.5), in UTC. */
export function shortTime(time: Date): Buffer {
  return Buffer.from([
    ...[time.getUTCFullYear() - 1900, time.getUTCMonth() + 1, time.getUTCDate()],
    ...[time.getUTCHours(), time.getUTCMinutes(), time.getUTCSeconds(), 0],
  ]);
}

/** The seventeen bytes of a volume descriptor's time (ECMA-119 8.4.26.1), in UTC; null: not said. */
export function longTime(time: Date | null): Buffer {
  const digits = time ? time.toISOString().replaceAll(/\D/g, '').slice(0, 16) : '0'.repeat(16);
  return Buffer.from(`${digits}\0`, 'latin1');
}

/** Sectors that so many bytes take. */
export function sectorsOf(bytes: number): number {
  return Math.ceil(bytes / SECTOR);
}
