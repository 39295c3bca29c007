/** A router's way out. */

import { Type } from 'typebox';
import type { Queries } from '#db/database.ts';
import { findNetwork } from '#db/repo/network/networks.ts';
import { floatingIpsThrough, gatewaysOf, interfacesOf, removeGateway, setGateway } from '#db/repo/network/routers.ts';
import { touch } from '#db/repo/network/standard.ts';
import { subnetsOf } from '#db/repo/network/subnets.ts';
import type { RouterRow } from '#db/tables/network.ts';
import { CloudError } from '#domain/errors.ts';
import { cidrFrom, overlaps } from '#domain/network/cidr.ts';
import { requireAdmin } from '../access.ts';
import { wishesOf } from '../ports/checks.ts';
import type { Change } from '../resource/collection.ts';
import { FixedIps, Flag, isTrue, Nullable, Uuid } from '../resource/schemas.ts';

/** Null, or an object without a network: no way out. */
export const GatewayInfo = Nullable(
  Type.Object(
    {
      network_id: Type.Optional(Nullable(Uuid)),
      enable_snat: Type.Optional(Flag),
      external_fixed_ips: Type.Optional(FixedIps),
    },
    { additionalProperties: false },
  ),
);

interface Wanted {
  readonly network_id?: string | null;
  readonly enable_snat?: boolean | string | number;
  readonly external_fixed_ips?: readonly { subnet_id?: string; ip_address?: string }[];
}

/**
 * Makes it so; answers the networks that a router has lost or got as its way out. Throws 400 for a network that is not
 * external, 409 while floating IPs need the one that it has.
 */
export async function changeGateway(
  { trx, who, now }: Change,
  router: Pick<RouterRow, 'id' | 'enable_snat'>,
  wanted: Wanted | null,
  rule: string,
): Promise<string[]> {
  const before = (await gatewaysOf(trx, [router.id])).get(router.id);
  const networkId = wanted?.network_id ?? null;
  if (networkId !== before?.networkId && before && (await floatingIpsThrough(trx, router.id)).length > 0)
    throw new CloudError('routerExternalGatewayInUseByFloatingIp', { id: router.id, network: before.networkId });
  if (wanted?.enable_snat !== undefined) requireAdmin(who, `${rule}:external_gateway_info:enable_snat`);
  if (wanted?.external_fixed_ips) requireAdmin(who, `${rule}:external_gateway_info:external_fixed_ips`);
  if (networkId === null) {
    await removeGateway(trx, router.id);
    return before ? [before.networkId] : [];
  }
  const snat = wanted?.enable_snat === undefined ? true : isTrue(wanted.enable_snat);
  if (Number(snat) !== router.enable_snat) await touch(trx, 'routers', router.id, { enable_snat: Number(snat) }, now);
  const fixedIps = wishesOf(wanted?.external_fixed_ips);
  if (networkId !== before?.networkId || fixedIps) {
    const network = await findNetwork(trx, networkId, who.isAdmin ? null : who.projectId);
    if (!network) throw new CloudError('networkNotFound', { id: networkId });
    if (network.external === 0)
      throw new CloudError('badRequest', {
        reason: `Bad router request: Network ${networkId} is not an external network`,
      });
    await requireNoOverlap(trx, router.id, networkId);
    await setGateway(trx, router.id, networkId, fixedIps, now);
  }
  return [...(before ? [before.networkId] : []), networkId];
}

async function requireNoOverlap(trx: Queries, routerId: string, externalId: string): Promise<void> {
  const outside = await subnetsOf(trx, [externalId]);
  for (const { cidr, subnetId } of await interfacesOf(trx, routerId)) {
    const other = outside.find((subnet) => overlaps(cidrFrom(subnet.cidr), cidrFrom(cidr)));
    if (other)
      throw new CloudError('badRequest', {
        reason: `Bad router request: Cidr ${cidr} of subnet ${subnetId} overlaps with cidr ${other.cidr} of subnet ${other.id}`,
      });
  }
}
