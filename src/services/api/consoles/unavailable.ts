/** Nova's words for consoles that there are not. */
import { CloudError } from '#domain/errors.ts';

/** The protocol is there and has no such type. */
export function consoleTypeInvalid(type: string): CloudError {
  return new CloudError('badRequest', { reason: `Invalid console type ${type}` });
}

/** The protocol is not offered at all. */
export function consoleTypeUnavailable(type: string): CloudError {
  return new CloudError('badRequest', { reason: `Unavailable console type ${type}.` });
}
