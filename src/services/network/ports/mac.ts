/** A MAC as clients write it. */
import { CloudError } from '#domain/errors.ts';
import { parseMac } from '#domain/network/mac.ts';

/** In the one spelling. Throws 400. */
export function macFrom(text: string): string {
  const mac = parseMac(text);
  if (mac === null) throw new CloudError('invalidInput', { reason: `'${text}' is not a valid MAC address` });
  return mac;
}
