/**
 * Fernet, the sealed envelope that Keystone's tokens are: `0x80 | time | iv | AES-128-CBC | HMAC-SHA256`, base64url
 * without padding. Keys are 32 bytes: the first half signs, the second encrypts.
 *
 * There is exactly one text for every sealed token: whatever differs in one character is refused, the unused bits at
 * the end of base64 included.
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

const VERSION = 0x80;
const HEADER_BYTES = 25;
const MAC_BYTES = 32;
const BLOCK_BYTES = 16;
const MAX_TEXT = 512;

/** Seals `payload`; `now` is epoch ms and only informative. */
export function seal(key: Buffer, payload: Buffer, now: number): string {
  const iv = randomBytes(BLOCK_BYTES);
  const header = Buffer.alloc(9);
  header[0] = VERSION;
  header.writeBigUInt64BE(BigInt(Math.floor(now / 1000)), 1);
  const cipher = createCipheriv('aes-128-cbc', key.subarray(16, 32), iv);
  const signed = Buffer.concat([header, iv, cipher.update(payload), cipher.final()]);
  return Buffer.concat([signed, mac(key, signed)]).toString('base64url');
}

/** What was sealed with any of `keys`, or null for every text that none of them made. */
export function open(keys: readonly Buffer[], text: string): Buffer | null {
  if (text.length > MAX_TEXT) return null;
  const bytes = Buffer.from(text, 'base64url');
  const encrypted = bytes.length - HEADER_BYTES - MAC_BYTES;
  if (encrypted < BLOCK_BYTES || encrypted % BLOCK_BYTES !== 0 || bytes[0] !== VERSION) return null;
  if (bytes.toString('base64url') !== text) return null;
  const signed = bytes.subarray(0, -MAC_BYTES);
  const given = bytes.subarray(-MAC_BYTES);
  const key = keys.find((candidate) => timingSafeEqual(mac(candidate, signed), given));
  if (!key) return null;
  const decipher = createDecipheriv('aes-128-cbc', key.subarray(16, 32), bytes.subarray(9, HEADER_BYTES));
  return Buffer.concat([decipher.update(signed.subarray(HEADER_BYTES)), decipher.final()]);
}

function mac(key: Buffer, signed: Buffer): Buffer {
  return createHmac('sha256', key.subarray(0, 16)).update(signed).digest();
}
