/** What a floating IP can lead to: an IPv4 address of a port from whose subnet a router leads to the external network. */
import type { Queries } from '#db/database.ts';
import type { FloatingIpRow } from '#db/tables/network.ts';
import { CloudError } from '#domain/errors.ts';
import { hexToText, textToHex } from '#domain/network/address.ts';
import { floatingIpTo, type Target } from './floating-ips.ts';
import { routersBetween } from './routers.ts';

export interface Wish {
  readonly portId: string;
  /** Text; not given: the port's only one. */
  readonly fixedAddress?: string | undefined;
  /** Whose port it must be; null: anybody's. */
  readonly projectId: string | null;
}

/**
 * Throws 404 for a port that is not there, or from which no router leads out, 400 where it is not clear which address is
 * meant, 409 where another floating IP of the network leads to that already.
 */
export async function targetOf(
  trx: Queries,
  floating: Pick<FloatingIpRow, 'id' | 'network_id' | 'address'>,
  { portId, fixedAddress, projectId }: Wish,
): Promise<Target> {
  const port = await trx.selectFrom('ports').select(['id', 'project_id']).where('id', '=', portId).executeTakeFirst();
  if (!port || (projectId !== null && port.project_id !== projectId))
    throw new CloudError('portNotFound', { id: portId });
  const { address: hex, subnet_id: subnetId } = await fixedAddressOf(trx, portId, fixedAddress);
  const address = hexToText(hex);
  const other = await floatingIpTo(trx, floating.network_id, { portId, address });
  if (other && other.id !== floating.id)
    throw new CloudError('floatingIpPortAlreadyAssociated', {
      address: hexToText(floating.address),
      id: floating.id,
      port: portId,
      fixed: address,
      network: floating.network_id,
    });
  const [routerId] = await routersBetween(trx, subnetId, floating.network_id);
  if (routerId === undefined)
    throw new CloudError('externalGatewayForFloatingIpNotFound', {
      network: floating.network_id,
      subnet: subnetId,
      port: portId,
    });
  return { portId, address, routerId };
}

async function fixedAddressOf(trx: Queries, portId: string, wanted: string | undefined) {
  const addresses = await trx.selectFrom('port_addresses').selectAll().where('port_id', '=', portId).execute();
  const ipv4 = addresses.filter(({ address }) => address.length === 8);
  if (wanted !== undefined) {
    const hex = textToHex(wanted);
    const found = ipv4.find(({ address }) => address === hex);
    if (!found) bad(`Port ${portId} does not have fixed ip ${wanted}`);
    return found;
  }
  const [only, ...more] = ipv4;
  if (!only) bad(`Cannot add floating IP to port ${portId} that has no fixed IPv4 addresses`);
  if (more.length > 0)
    bad(
      `Port ${portId} has multiple fixed IPv4 addresses. Must provide a specific IPv4 address when assigning a floating IP`,
    );
  return only;
}

function bad(reason: string): never {
  throw new CloudError('badRequest', { reason });
}
