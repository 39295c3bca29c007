/**
 * How the format inspectors see an image: as numbered bytes, some of which may not have arrived yet.
 *
 * The same inspectors run while an upload is under way (`complete: false`), when it has ended, and on a compute host.
 * Everything read here was written by a stranger: no length or offset from it is used before it is bounded.
 */
import { CloudError } from '#domain/errors.ts';

export interface ByteSource {
  /** How many bytes there are now. */
  readonly size: number;
  /** False while more bytes may follow; a file that is there is complete. */
  readonly complete?: boolean;
  /** The bytes at `offset`; fewer than `length` only where the source ends. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** The answer depends on bytes that have not arrived; ask again when they have. */
export class NotYet extends Error {
  override readonly name = 'NotYet';
}

/** Refuses the image with a reason for its owner. */
export function refuse(reason: string): never {
  throw new CloudError('imageRejected', { reason });
}

/** Exactly `length` bytes, or `NotYet`, or a refusal when the image has ended before them. */
export async function readExactly(
  source: ByteSource,
  offset: number,
  length: number,
  what: string,
): Promise<DataView<ArrayBufferLike>> {
  if (offset + length > source.size) {
    if (source.complete === false) throw new NotYet(what);
    refuse(`it ends in the middle of ${what}`);
  }
  const bytes = await source.read(offset, length);
  if (bytes.length < length) refuse(`it ends in the middle of ${what}`);
  return new DataView(bytes.buffer, bytes.byteOffset, length);
}

/** A 64-bit number as a double; what is too large for one is refused, since nothing honest is. */
export function readU64(view: DataView, offset: number, littleEndian: boolean, what: string): number {
  const value = view.getBigUint64(offset, littleEndian);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) refuse(`${what} is absurd (${value})`);
  return Number(value);
}

/** Bytes as text, one character each: for magic words and descriptors. */
export function latin1(view: DataView, offset: number, length: number): string {
  let text = '';
  for (let at = offset; at < offset + length; at += 1) text += String.fromCharCode(view.getUint8(at));
  return text;
}
