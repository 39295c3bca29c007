/** The `Range` header, as far as Glance honours it: one range of bytes. Source: RFC 9110, section 14. */
import { CloudError } from '#domain/errors.ts';

export interface ByteRange {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
}

/** Null for no range, or one in a form that may be ignored. Throws 416 when it lies outside. */
export function parseRange(header: string | undefined, size: number): ByteRange | null {
  const [, first, last] = /^bytes=(\d{0,16})-(\d{0,16})$/.exec(header?.trim() ?? '') ?? [];
  if (first === undefined || last === undefined || (first === '' && last === '')) {
    if (header?.trim().startsWith('bytes=') && !header.includes(',')) outside(header, size);
    return null;
  }
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === '' || last === '' ? size : Math.min(size, Number(last) + 1);
  if (start >= end) outside(header ?? '', size);
  return { start, end };
}

function outside(range: string, size: number): never {
  throw new CloudError('imageRangeOutside', { range: range.slice(0, 60), size });
}
