/** What names a service or a hypervisor: a number up to 2.52, a UUID from 2.53 on. */
import { CloudError } from '#domain/errors.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Throws 400 for an id that is none in this microversion. */
export function checkId(id: string, version: number, what: 'service' | 'hypervisor'): void {
  if (version >= 53 ? UUID.test(id) : /^[0-9]{1,9}$/.test(id)) return;
  const shown = id.slice(0, 100);
  throw new CloudError('badRequest', {
    reason: version >= 53 ? `Invalid uuid ${shown}` : `Invalid ${what} id ${shown}, it must be a number.`,
  });
}
