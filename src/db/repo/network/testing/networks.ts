/** For tests: networks with subnets, of which a test says only what it is about. */
import type { Database } from '#db/database.ts';
import type { NetworkRow, SubnetRow } from '#db/tables/network.ts';
import { parseAddress } from '#domain/network/address.ts';
import { cidrFrom, defaultPools, formatPool } from '#domain/network/cidr.ts';
import { insertNetwork, type NewNetwork } from '../networks.ts';
import { insertSubnet, type NewSubnet } from '../subnets.ts';

export const PROJECT = 'project';

export function newNetwork(db: Database, wanted: Partial<NewNetwork> = {}): Promise<NetworkRow> {
  return db.transaction((trx) => insertNetwork(trx, { projectId: PROJECT, name: 'net', ...wanted }, 1));
}

/** Without DHCP, so that all of its addresses are free. */
export function newSubnet(
  db: Database,
  network: NetworkRow,
  cidr: string,
  wanted: Partial<NewSubnet> = {},
): Promise<SubnetRow> {
  const range = cidrFrom(cidr);
  const gateway = wanted.gateway ?? null;
  const pools = defaultPools(range, gateway === null ? null : parseAddress(gateway)).map(formatPool);
  const subnet: NewSubnet = {
    projectId: network.project_id,
    networkId: network.id,
    ipVersion: range.version,
    cidr,
    gateway,
    enableDhcp: false,
    pools,
    ...wanted,
  };
  return db.transaction((trx) => insertSubnet(trx, network, subnet, 1));
}
