/**
 * Ports of servers, for the compute role: everything here is part of its own transactions, so that a server and its ports come
 * and go together. The transaction must be one of `Database.commit` or `transaction`: what was free when it was looked at must
 * still be free when it ends. After the commit, whoever runs the hosts' networks has to be told of the networks that changed.
 */
import type { Queries } from '#db/database.ts';
import type { NetworkRow, PortRow } from '#db/tables/network.ts';
import { CloudError } from '#domain/errors.ts';
import { DEVICE_OWNERS } from '#domain/network/device-owners.ts';
import { findNetwork } from './networks.ts';
import { deletePorts, type FixedIp, fixedIpsOf, insertPort } from './ports.ts';
import { checkNetworkQuota } from './quotas.ts';
import { ensureDefaultGroup } from './security-groups.ts';
import { touch } from './standard.ts';

/** A server that is being made, or gets one port more. */
export interface PortUser {
  readonly serverId: string;
  readonly projectId: string;
  /** An administrator may use what is not shared, and external networks. */
  readonly isAdmin: boolean;
  /** The server's hostname. */
  readonly dnsName: string;
}

export interface ServerPort {
  readonly id: string;
  readonly serverId: string;
  readonly networkId: string;
  readonly networkName: string;
  readonly mac: string;
  readonly adminStateUp: boolean;
  readonly madeForServer: boolean;
  /** IPv4 first. */
  readonly fixedIps: readonly FixedIp[];
}

/**
 * Makes a port for a server; it goes when the server goes. `securityGroupIds` not given: the project's default group, made
 * where there is none. Throws 404 for a network that is not there for the project, 403 for an external one, 409 over the quota
 * or where no address is free (`fixedIps` as `chooseAddresses`).
 */
export async function createServerPort(
  trx: Queries,
  user: PortUser,
  wanted: {
    readonly networkId: string;
    readonly fixedIp?: string | undefined;
    readonly securityGroupIds?: readonly string[] | undefined;
  },
  now: number,
): Promise<PortRow> {
  const network = await findNetwork(trx, wanted.networkId, user.isAdmin ? null : user.projectId);
  if (!network) throw new CloudError('networkNotFound', { id: wanted.networkId });
  checkExternal(network, user);
  await checkNetworkQuota(trx, user.projectId, 'port', 1);
  const isSecured = network.port_security === 1;
  const groups = isSecured
    ? (wanted.securityGroupIds ?? [(await ensureDefaultGroup(trx, user.projectId, now)).id])
    : [];
  return insertPort(
    trx,
    {
      projectId: user.projectId,
      networkId: network.id,
      deviceId: user.serverId,
      deviceOwner: DEVICE_OWNERS.server,
      portSecurity: isSecured,
      securityGroupIds: groups,
      dnsName: user.dnsName,
      nic: await nextNic(trx, user.serverId),
      madeForServer: true,
      ...(wanted.fixedIp !== undefined && { fixedIps: [{ address: wanted.fixedIp }] }),
    },
    now,
  );
}

/**
 * Gives a port that its owner has made to a server; it stays when the server goes. Throws 404 for one that is not there for the
 * project, 409 for one that somebody uses.
 */
export async function claimPort(trx: Queries, user: PortUser, portId: string, now: number): Promise<PortRow> {
  let query = trx.selectFrom('ports').selectAll().where('id', '=', portId);
  if (!user.isAdmin) query = query.where('project_id', '=', user.projectId);
  const port = await query.executeTakeFirst();
  if (!port) throw new CloudError('portNotFound', { id: portId });
  if (port.device_id !== '')
    throw new CloudError('portInUse', { id: portId, network: port.network_id, device: port.device_id });
  const network = await findNetwork(trx, port.network_id, null);
  if (network) checkExternal(network, user);
  const changes = {
    device_id: user.serverId,
    device_owner: DEVICE_OWNERS.server,
    nic: await nextNic(trx, user.serverId),
    made_for_server: 0,
    ...(port.dns_name === '' && { dns_name: user.dnsName }),
  };
  await touch(trx, 'ports', portId, changes, now);
  return { ...port, ...changes };
}

/** Of many servers, in the order in which each server got them; servers without any are not there. Two queries. */
export async function portsOfServers(db: Queries, serverIds: readonly string[]): Promise<Map<string, ServerPort[]>> {
  if (serverIds.length === 0) return new Map();
  const rows = await db
    .selectFrom('ports')
    .innerJoin('networks', 'networks.id', 'ports.network_id')
    .select([
      'ports.id',
      'ports.device_id',
      'ports.network_id',
      'networks.name as network_name',
      'ports.mac_address',
      'ports.admin_state_up',
      'ports.made_for_server',
    ])
    .where('ports.device_id', 'in', [...serverIds])
    .where('ports.device_owner', 'like', 'compute:%')
    .orderBy('ports.nic')
    .orderBy('ports.id')
    .execute();
  const addresses = await addressesByPort(
    db,
    rows.map(({ id }) => id),
  );
  const ports = rows.map((row) => ({
    id: row.id,
    serverId: row.device_id,
    networkId: row.network_id,
    networkName: row.network_name,
    mac: row.mac_address,
    adminStateUp: row.admin_state_up === 1,
    madeForServer: row.made_for_server === 1,
    fixedIps: addresses.get(row.id) ?? [],
  }));
  return Map.groupBy(ports, ({ serverId }) => serverId);
}

/**
 * Ends what a server has of the network, or one of its ports: what was made for it is deleted, what was given to it is free
 * again. Answers the networks. Idempotent.
 */
export async function releasePorts(trx: Queries, serverId: string, now: number, portId?: string): Promise<string[]> {
  let query = trx
    .selectFrom('ports')
    .select(['id', 'network_id', 'made_for_server', 'dns_name'])
    .where('device_id', '=', serverId)
    .where('device_owner', 'like', 'compute:%');
  if (portId !== undefined) query = query.where('id', '=', portId);
  const ports = await query.execute();
  await deletePorts(
    trx,
    ports.filter((port) => port.made_for_server === 1).map(({ id }) => id),
  );
  const free = { device_id: '', device_owner: '', dns_name: '' };
  for (const port of ports) if (port.made_for_server === 0) await touch(trx, 'ports', port.id, free, now);
  return [...new Set(ports.map((port) => port.network_id))];
}

/** Behind those that the server has. */
async function nextNic(trx: Queries, serverId: string): Promise<number> {
  const { last } = await trx
    .selectFrom('ports')
    .select((e) => e.fn.max('nic').as('last'))
    .where('device_id', '=', serverId)
    .where('device_owner', 'like', 'compute:%')
    .executeTakeFirstOrThrow();
  return last === null ? 0 : Number(last) + 1;
}

/** Fixed addresses of each port, of both families. */
async function addressesByPort(db: Queries, portIds: readonly string[]): Promise<Map<string, readonly FixedIp[]>> {
  if (portIds.length === 0) return new Map();
  const rows = await db
    .selectFrom('port_addresses')
    .selectAll()
    .where('port_id', 'in', [...portIds])
    .execute();
  const grouped = Map.groupBy(rows, ({ port_id }) => port_id);
  return new Map([...grouped].map(([portId, addresses]) => [portId, fixedIpsOf(addresses)]));
}

function checkExternal(network: NetworkRow, user: PortUser): void {
  if (network.external === 1 && network.shared === 0 && !user.isAdmin)
    throw new CloudError('externalNetworkForbidden', { id: network.id });
}
