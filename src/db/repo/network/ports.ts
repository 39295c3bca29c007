/** Ports: rows with addresses and security groups. What a port may be is the caller's to check; that it is possible is checked here. */
import { randomInt } from 'node:crypto';
import type { Queries } from '#db/database.ts';
import type { PortRow } from '#db/tables/network.ts';
import { CloudError } from '#domain/errors.ts';
import { hexToText } from '#domain/network/address.ts';
import { DEVICE_OWNERS } from '#domain/network/device-owners.ts';
import { macOf } from '#domain/network/mac.ts';
import { type Chosen, chooseAddresses, type FixedIpWish } from './fixed-ips.ts';
import { type Described, standard } from './standard.ts';
import { deleteTags, tagsOf } from './tags.ts';

export interface NewPort extends Described {
  readonly networkId: string;
  /** Canonical; not given: any that is free. */
  readonly mac?: string | undefined;
  readonly adminStateUp?: boolean;
  readonly deviceId?: string;
  readonly deviceOwner?: string;
  /** Not given: chosen; empty: none. */
  readonly fixedIps?: readonly FixedIpWish[] | undefined;
  readonly securityGroupIds?: readonly string[];
  readonly portSecurity: boolean;
  readonly allowedAddressPairs?: readonly AddressPair[];
  readonly dnsName?: string;
  readonly bindingHost?: string;
  readonly vnicType?: string;
  readonly bindingProfile?: Readonly<Record<string, unknown>>;
  /** Its place among the server's ports. */
  readonly nic?: number;
  readonly madeForServer?: boolean;
}

export interface AddressPair {
  readonly mac_address: string;
  readonly ip_address: string;
}

export interface FixedIp {
  readonly subnetId: string;
  /** Text. */
  readonly address: string;
}

export interface Port extends PortRow {
  /** IPv4 first. */
  readonly fixedIps: readonly FixedIp[];
  readonly securityGroupIds: readonly string[];
  readonly tags: readonly string[];
}

/** With its addresses. Throws as `chooseAddresses`, and 409 for a MAC that another port of the network has. */
export async function insertPort(trx: Queries, wanted: NewPort, now: number): Promise<PortRow> {
  const mac = wanted.mac ?? (await freeMac(trx, wanted.networkId));
  if (wanted.mac !== undefined) await requireFreeMac(trx, wanted.networkId, wanted.mac);
  const isRouter = isRouterPort(wanted.deviceOwner ?? '');
  const addresses = await chooseAddresses(trx, { networkId: wanted.networkId, mac, isRouter }, wanted.fixedIps);
  const row: PortRow = {
    ...standard(wanted, now),
    network_id: wanted.networkId,
    network_project: await projectOfNetwork(trx, wanted.networkId),
    mac_address: mac,
    admin_state_up: Number(wanted.adminStateUp ?? true),
    device_id: wanted.deviceId ?? '',
    device_owner: wanted.deviceOwner ?? '',
    nic: wanted.nic ?? 0,
    made_for_server: Number(wanted.madeForServer ?? false),
    port_security: Number(wanted.portSecurity),
    allowed_address_pairs: JSON.stringify(wanted.allowedAddressPairs ?? []),
    dns_name: wanted.dnsName ?? '',
    binding_host: wanted.bindingHost ?? '',
    vnic_type: wanted.vnicType ?? 'normal',
    binding_profile: JSON.stringify(wanted.bindingProfile ?? {}),
  };
  await trx.insertInto('ports').values(row).execute();
  await insertAddresses(trx, row.id, addresses);
  await setSecurityGroups(trx, row.id, wanted.securityGroupIds ?? []);
  return row;
}

/**
 * Gives the port other addresses; those that it has and shall have stay. Throws as `chooseAddresses`. What was translated to
 * an address that it has no more is not any more.
 */
export async function replaceAddresses(trx: Queries, port: PortRow, wanted: readonly FixedIpWish[]): Promise<void> {
  const had = await trx.selectFrom('port_addresses').selectAll().where('port_id', '=', port.id).execute();
  const left = [...had];
  const kept: Chosen[] = [];
  const rest = wanted.filter((wish) => {
    const at = left.findIndex(
      (each) =>
        (wish.subnetId === undefined || wish.subnetId === each.subnet_id) &&
        (wish.address === undefined || wish.address === hexToText(each.address)),
    );
    if (at >= 0) kept.push(...left.splice(at, 1));
    return at < 0;
  });
  for (const { subnet_id, address } of left)
    await trx.deleteFrom('port_addresses').where('subnet_id', '=', subnet_id).where('address', '=', address).execute();
  const to = { networkId: port.network_id, mac: port.mac_address, isRouter: isRouterPort(port.device_owner) };
  await insertAddresses(trx, port.id, await chooseAddresses(trx, to, rest));
  const gone = left.map(({ address }) => address);
  if (gone.length > 0)
    await trx
      .updateTable('floating_ips')
      .set({ fixed_port_id: null, fixed_address: null, router_id: null })
      .where('fixed_port_id', '=', port.id)
      .where('fixed_address', 'in', gone)
      .execute();
}

export async function setSecurityGroups(trx: Queries, portId: string, groupIds: readonly string[]): Promise<void> {
  await trx.deleteFrom('port_security_groups').where('port_id', '=', portId).execute();
  const rows = [...new Set(groupIds)].map((group_id) => ({ port_id: portId, group_id }));
  if (rows.length > 0) await trx.insertInto('port_security_groups').values(rows).execute();
}

/** Throws 409 when another port of the network has it. */
export async function requireFreeMac(trx: Queries, networkId: string, mac: string): Promise<void> {
  if ((await takenMacs(trx, networkId, [mac])).size > 0)
    throw new CloudError('macAddressInUse', { network: networkId, mac });
}

/** With all that hangs on them; floating IPs that lead there lead nowhere. */
export async function deletePorts(trx: Queries, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  await trx
    .updateTable('floating_ips')
    .set({ fixed_port_id: null, fixed_address: null, router_id: null })
    .where('fixed_port_id', 'in', [...ids])
    .execute();
  await trx
    .deleteFrom('ports')
    .where('id', 'in', [...ids])
    .execute();
  await deleteTags(trx, ids);
}

/** Adds what is not in the row, in a query of each kind for all of them. */
export async function withDetails<Row extends PortRow>(
  db: Queries,
  rows: readonly Row[],
): Promise<(Row & Pick<Port, 'fixedIps' | 'securityGroupIds' | 'tags'>)[]> {
  if (rows.length === 0) return [];
  const ids = rows.map(({ id }) => id);
  const addresses = await db.selectFrom('port_addresses').selectAll().where('port_id', 'in', ids).execute();
  const groups = await db
    .selectFrom('port_security_groups')
    .selectAll()
    .where('port_id', 'in', ids)
    .orderBy('group_id')
    .execute();
  const tags = await tagsOf(db, ids);
  const addressesOf = Map.groupBy(addresses, ({ port_id }) => port_id);
  const groupsOf = Map.groupBy(groups, ({ port_id }) => port_id);
  return rows.map((row) => ({
    ...row,
    fixedIps: fixedIpsOf(addressesOf.get(row.id) ?? []),
    securityGroupIds: (groupsOf.get(row.id) ?? []).map(({ group_id }) => group_id),
    tags: tags.get(row.id) ?? [],
  }));
}

/** As text, IPv4 first. */
export function fixedIpsOf(addresses: readonly Chosen[]): FixedIp[] {
  return addresses
    .toSorted((a, b) => a.address.length - b.address.length || (a.address < b.address ? -1 : 1))
    .map(({ subnet_id, address }) => ({ subnetId: subnet_id, address: hexToText(address) }));
}

async function insertAddresses(trx: Queries, portId: string, addresses: readonly Chosen[]): Promise<void> {
  if (addresses.length === 0) return;
  await trx
    .insertInto('port_addresses')
    .values(addresses.map((each) => ({ ...each, port_id: portId })))
    .execute();
}

async function freeMac(trx: Queries, networkId: string): Promise<string> {
  for (;;) {
    const guesses = Array.from({ length: 4 }, () => macOf(randomInt(2 ** 24)));
    const taken = await takenMacs(trx, networkId, guesses);
    const free = guesses.find((mac) => !taken.has(mac));
    if (free !== undefined) return free;
  }
}

async function takenMacs(trx: Queries, networkId: string, macs: readonly string[]): Promise<Set<string>> {
  const rows = await trx
    .selectFrom('ports')
    .select('mac_address')
    .where('network_id', '=', networkId)
    .where('mac_address', 'in', [...macs])
    .execute();
  return new Set(rows.map(({ mac_address }) => mac_address));
}

async function projectOfNetwork(trx: Queries, networkId: string): Promise<string> {
  const network = await trx.selectFrom('networks').select('project_id').where('id', '=', networkId).executeTakeFirst();
  if (!network) throw new CloudError('networkNotFound', { id: networkId });
  return network.project_id;
}

function isRouterPort(deviceOwner: string): boolean {
  return deviceOwner === DEVICE_OWNERS.routerInterface || deviceOwner === DEVICE_OWNERS.routerGateway;
}
