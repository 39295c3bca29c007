/** A port that somebody made becomes an interface of a router. */
import type { ListedRouter } from '#db/repo/network/lists/routers.ts';
import { setSecurityGroups } from '#db/repo/network/ports.ts';
import { interfacesOf, type RouterInterface } from '#db/repo/network/routers.ts';
import { touch } from '#db/repo/network/standard.ts';
import type { SubnetRow } from '#db/tables/network.ts';
import { CloudError } from '#domain/errors.ts';
import { DEVICE_OWNERS } from '#domain/network/device-owners.ts';
import type { Change } from '../resource/collection.ts';

/** It goes when it is removed from the router, as in Neutron. `check` throws for a subnet that the router cannot have. */
export async function givePort(
  change: Change,
  router: ListedRouter,
  portId: string,
  check: (change: Change, router: ListedRouter, subnet: SubnetRow) => Promise<void>,
): Promise<RouterInterface[]> {
  const { trx, who, now } = change;
  const port = await trx.selectFrom('ports').selectAll().where('id', '=', portId).executeTakeFirst();
  if (!port || (!who.isAdmin && port.project_id !== who.projectId))
    throw new CloudError('portNotFound', { id: portId });
  if (port.device_id !== '' || port.device_owner !== '')
    throw new CloudError('portInUse', { id: portId, network: port.network_id, device: port.device_id });
  const subnets = await trx
    .selectFrom('port_addresses')
    .innerJoin('subnets', 'subnets.id', 'port_addresses.subnet_id')
    .selectAll('subnets')
    .where('port_addresses.port_id', '=', portId)
    .execute();
  if (subnets.length === 0)
    throw new CloudError('badRequest', { reason: 'Bad router request: Router port must have at least one fixed IP.' });
  for (const subnet of subnets) await check(change, router, subnet);
  await setSecurityGroups(trx, portId, []);
  const device = { device_id: router.id, device_owner: DEVICE_OWNERS.routerInterface, port_security: 0 };
  await touch(trx, 'ports', portId, { ...device, allowed_address_pairs: '[]' }, now);
  return (await interfacesOf(trx, router.id)).filter((each) => each.portId === portId);
}
