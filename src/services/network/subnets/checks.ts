/** What a subnet must not collide with. */
import type { Queries } from '#db/database.ts';
import type { SubnetRow } from '#db/tables/network.ts';
import { CloudError } from '#domain/errors.ts';
import { textToHex } from '#domain/network/address.ts';
import { cidrFrom, overlaps } from '#domain/network/cidr.ts';
import { DEVICE_OWNERS } from '#domain/network/device-owners.ts';

/** Throws 400 when another subnet of the network has some of the range. */
export async function requireNoOverlap(trx: Queries, networkId: string, cidr: string): Promise<void> {
  const others = await trx.selectFrom('subnets').select(['id', 'cidr']).where('network_id', '=', networkId).execute();
  const other = others.find((each) => overlaps(cidrFrom(each.cidr), cidrFrom(cidr)));
  if (other)
    throw new CloudError('invalidInput', {
      reason: `Requested subnet with cidr: ${cidr} for network: ${networkId} overlaps with another subnet`,
    });
}

/** Throws 409 when a router has the gateway's address: guests would lose it. */
export async function requireUnusedGateway(trx: Queries, subnet: SubnetRow): Promise<void> {
  const address = subnet.gateway_ip === null ? null : textToHex(subnet.gateway_ip);
  if (address === null) return;
  const port = await trx
    .selectFrom('port_addresses')
    .innerJoin('ports', 'ports.id', 'port_addresses.port_id')
    .select('ports.id')
    .where('port_addresses.subnet_id', '=', subnet.id)
    .where('port_addresses.address', '=', address)
    .where('ports.device_owner', '=', DEVICE_OWNERS.routerInterface)
    .executeTakeFirst();
  if (port) throw new CloudError('gatewayIpInUse', { address: subnet.gateway_ip ?? '', port: port.id });
}
