/** The networks of a new cloud, as DevStack makes them: a way out, and a network of the project `demo` behind a router. */

import type { Queries } from '#db/database.ts';
import { findProjectByName } from '#db/repo/identity/projects.ts';
import { insertNetwork } from '#db/repo/network/networks.ts';
import { insertSubnet } from '#db/repo/network/subnets.ts';
import { insertTopology } from '#db/repo/network/topology.ts';
import { formatAddress } from '#domain/network/address.ts';
import { type Cidr, defaultPools, formatCidr, formatPool, usable } from '#domain/network/cidr.ts';
import type { NetworkDeps } from './deps.ts';

const PRIVATE = { network: 'private', subnet: 'private-subnet', router: 'router1', cidr: '10.0.0.0/20' };
const OUT = { network: 'public', subnet: 'public-subnet' };

/**
 * Writes them into a cloud that has neither networks nor ever had a server. `publicRange` null: there is no way out. Several
 * processes may do it at once.
 */
export async function ensureDefaultNetworks(
  { db, now }: Pick<NetworkDeps, 'db' | 'now'>,
  publicRange: Cidr | null,
): Promise<void> {
  await db.transaction(async (trx) => {
    const network = await trx.selectFrom('networks').select('id').limit(1).executeTakeFirst();
    const server = await trx.selectFrom('servers').select('id').limit(1).executeTakeFirst();
    if (network || server) return;
    const admin = await findProjectByName(trx, 'admin');
    const demo = await findProjectByName(trx, 'demo');
    const externalId = publicRange && admin ? await insertPublic(trx, admin.id, publicRange, now()) : null;
    if (demo) await insertTopology(trx, { projectId: demo.id, ...PRIVATE, externalId }, now());
  });
}

/** Nobody but the cloud itself gives addresses out there. */
async function insertPublic(trx: Queries, projectId: string, cidr: Cidr, now: number): Promise<string> {
  const network = await insertNetwork(
    trx,
    { projectId, name: OUT.network, external: true, isDefault: true, mtu: 1500 },
    now,
  );
  const gateway = { version: cidr.version, value: usable(cidr).first };
  await insertSubnet(
    trx,
    network,
    {
      projectId,
      networkId: network.id,
      name: OUT.subnet,
      ipVersion: cidr.version,
      cidr: formatCidr(cidr),
      gateway: formatAddress(gateway),
      enableDhcp: false,
      pools: defaultPools(cidr, gateway).map(formatPool),
    },
    now,
  );
  return network.id;
}
