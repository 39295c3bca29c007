/** The consoles of the hosts in this process, straight from their drivers. */
import type { Duplex } from 'node:stream';
import { CloudError } from '#domain/errors.ts';
import type { Driver } from './driver/driver.ts';
import { DriverError } from './driver/driver-error.ts';

/** `drivers`: by host. Throws `instanceNotReady` for a guest without a process. */
export async function openDriverConsole(
  drivers: ReadonlyMap<string, Driver>,
  host: string,
  serverId: string,
  kind: 'vnc' | 'serial',
): Promise<Duplex> {
  const driver = drivers.get(host);
  if (!driver) throw new CloudError('hostDown', { host, reason: 'it is not in this process' });
  try {
    return await driver.openConsole(serverId, kind);
  } catch (error) {
    if (!(error instanceof DriverError)) throw error;
    const isGone = error.code === 'not_running' || error.code === 'guest_not_found';
    if (isGone) throw new CloudError('instanceNotReady', { id: serverId }, { cause: error });
    throw new CloudError(
      'hypervisorStumbled',
      { what: 'Opening the console', reason: error.message },
      { cause: error },
    );
  }
}
