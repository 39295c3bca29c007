/** Floating IPs: an address of an external network, held by a port there, and perhaps what it leads to. */
import { randomUUID } from 'node:crypto';
import type { Queries } from '#db/database.ts';
import type { FloatingIpRow } from '#db/tables/network.ts';
import { CloudError } from '#domain/errors.ts';
import { textToHex } from '#domain/network/address.ts';
import { DEVICE_OWNERS } from '#domain/network/device-owners.ts';
import { freeAddress } from './address-allocation.ts';
import type { FixedIpWish } from './fixed-ips.ts';
import { deletePorts, insertPort } from './ports.ts';
import { touch } from './standard.ts';
import { deleteTags } from './tags.ts';

export interface NewFloatingIp {
  readonly projectId: string;
  readonly networkId: string;
  /** Not given: any of the network's IPv4 pools. */
  readonly wanted?: FixedIpWish | undefined;
  readonly description?: string | undefined;
  readonly dnsName?: string | undefined;
  readonly dnsDomain?: string | undefined;
}

/** What it leads to. */
export interface Target {
  readonly portId: string;
  /** Text. */
  readonly address: string;
  readonly routerId: string;
}

/** Null where it is not; any project's where `projectId` is null. */
export async function findFloatingIp(db: Queries, id: string, projectId: string | null): Promise<FloatingIpRow | null> {
  let query = db.selectFrom('floating_ips').selectAll().where('id', '=', id);
  if (projectId !== null) query = query.where('project_id', '=', projectId);
  return (await query.executeTakeFirst()) ?? null;
}

/** It leads nowhere yet. Throws 409 where no address is free, and as `insertPort`. */
export async function insertFloatingIp(trx: Queries, wanted: NewFloatingIp, now: number): Promise<FloatingIpRow> {
  const id = randomUUID();
  const port = await insertPort(
    trx,
    {
      projectId: '',
      networkId: wanted.networkId,
      deviceId: id,
      deviceOwner: DEVICE_OWNERS.floatingIp,
      portSecurity: false,
      fixedIps: [wanted.wanted ?? (await ipv4Subnet(trx, wanted.networkId))],
    },
    now,
  ).catch((error: unknown) => {
    if (!(error instanceof CloudError) || error.code !== 'ipAddressGenerationFailure') throw error;
    throw new CloudError('externalIpAddressExhausted', { network: wanted.networkId }, { cause: error });
  });
  const address = await trx
    .selectFrom('port_addresses')
    .select('address')
    .where('port_id', '=', port.id)
    .executeTakeFirstOrThrow();
  const row: FloatingIpRow = {
    id,
    project_id: wanted.projectId,
    description: wanted.description ?? '',
    created_at: now,
    updated_at: now,
    revision: 0,
    network_id: wanted.networkId,
    address: address.address,
    port_id: port.id,
    fixed_port_id: null,
    fixed_address: null,
    router_id: null,
    dns_name: wanted.dnsName ?? '',
    dns_domain: wanted.dnsDomain ?? '',
  };
  await trx.insertInto('floating_ips').values(row).execute();
  return row;
}

/** Where it leads from now on; null: nowhere. */
export async function pointFloatingIp(trx: Queries, id: string, target: Target | null, now: number): Promise<void> {
  const columns = {
    fixed_port_id: target?.portId ?? null,
    fixed_address: target && textToHex(target.address),
    router_id: target?.routerId ?? null,
  };
  await touch(trx, 'floating_ips', id, columns, now);
}

/** The one of this external network that leads to an address of a port already. */
export async function floatingIpTo(
  db: Queries,
  networkId: string,
  { portId, address }: Pick<Target, 'portId' | 'address'>,
): Promise<FloatingIpRow | undefined> {
  return await db
    .selectFrom('floating_ips')
    .selectAll()
    .where('network_id', '=', networkId)
    .where('fixed_port_id', '=', portId)
    .where('fixed_address', '=', textToHex(address))
    .executeTakeFirst();
}

/** Its address is free again. */
export async function deleteFloatingIp(trx: Queries, { id, port_id }: FloatingIpRow): Promise<void> {
  await trx.deleteFrom('floating_ips').where('id', '=', id).execute();
  await deletePorts(trx, [port_id]);
  await deleteTags(trx, [id]);
}

/** The first with a free address, or any, so that the caller is told that none is free. */
async function ipv4Subnet(trx: Queries, networkId: string): Promise<FixedIpWish> {
  const subnets = await trx
    .selectFrom('subnets')
    .selectAll()
    .where('network_id', '=', networkId)
    .where('ip_version', '=', 4)
    .orderBy('created_at')
    .orderBy('id')
    .execute();
  for (const subnet of subnets) if ((await freeAddress(trx, subnet)) !== null) return { subnetId: subnet.id };
  throw new CloudError('externalIpAddressExhausted', { network: networkId });
}
