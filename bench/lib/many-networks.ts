/** A record full of networks. */
import type { Database } from '#db/database.ts';
import { insertNetwork } from '#db/repo/network/networks.ts';
import { insertPort } from '#db/repo/network/ports.ts';
import { setNetworkQuota } from '#db/repo/network/quotas.ts';
import { ensureDefaultGroup } from '#db/repo/network/security-groups.ts';
import { insertSubnet } from '#db/repo/network/subnets.ts';

const CIDR = '10.0.0.0/16';
const POOLS = [{ start: '10.0.0.2', end: '10.0.255.254' }];

export interface Wanted {
  readonly networks: number;
  /** In each network; one is its own helpers'. */
  readonly ports: number;
  /** To whom the networks belong, in turns: `project-0`, `project-1` … */
  readonly projects: number;
}

/** More than any project here has, so that what it has is counted. */
const QUOTA = 1_000_000;

/** Each network has a subnet with DHCP, and its ports are in their project's default group. Answers the first network. */
export async function fillNetworks(db: Database, { networks, ports, projects }: Wanted): Promise<string> {
  const ids: string[] = [];
  for (let index = 0; index < networks; index++) ids.push(await fillProject(db, `project-${index % projects}`, ports));
  return ids[0] ?? '';
}

async function fillProject(db: Database, projectId: string, ports: number): Promise<string> {
  return db.transaction(async (trx) => {
    const now = Date.now();
    const network = await insertNetwork(trx, { projectId, name: 'net' }, now);
    await insertSubnet(
      trx,
      network,
      {
        projectId,
        networkId: network.id,
        ipVersion: 4,
        cidr: CIDR,
        gateway: '10.0.0.1',
        enableDhcp: true,
        pools: POOLS,
      },
      now,
    );
    const group = await ensureDefaultGroup(trx, projectId, now);
    const wanted = { projectId, networkId: network.id, portSecurity: true, securityGroupIds: [group.id] };
    for (let port = 1; port < ports; port++) await insertPort(trx, wanted, now);
    await setNetworkQuota(trx, projectId, { port: QUOTA });
    return network.id;
  });
}
