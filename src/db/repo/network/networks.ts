/** Queries of networks. */
import { randomInt } from 'node:crypto';
import type { Queries } from '#db/database.ts';
import type { NetworkRow } from '#db/tables/network.ts';
import { CloudError } from '#domain/errors.ts';
import { DEVICE_OWNERS } from '#domain/network/device-owners.ts';
import { deletePorts } from './ports.ts';
import { type Described, standard } from './standard.ts';
import { deleteTags } from './tags.ts';

export interface NewNetwork extends Described {
  readonly adminStateUp?: boolean;
  readonly shared?: boolean;
  readonly external?: boolean;
  readonly isDefault?: boolean;
  readonly mtu?: number;
  readonly portSecurity?: boolean;
  readonly dnsDomain?: string;
  /** Not given: any that is free. */
  readonly vni?: number | undefined;
}

/** What is left of an Ethernet of 1500 bytes inside a VXLAN over IPv4. */
export const DEFAULT_MTU = 1450;
const VNIS = 2 ** 24;

/** Null where it is not, or the project may not see it; any project's where `projectId` is null. */
export async function findNetwork(db: Queries, id: string, projectId: string | null): Promise<NetworkRow | null> {
  let query = db.selectFrom('networks').selectAll().where('id', '=', id);
  if (projectId !== null)
    query = query.where((e) => e.or([e('project_id', '=', projectId), e('shared', '=', 1), e('external', '=', 1)]));
  return (await query.executeTakeFirst()) ?? null;
}

/** Those on which a project's servers may be: its own, and those that all share. Oldest first. */
export function networksForServers(db: Queries, projectId: string): Promise<NetworkRow[]> {
  return db
    .selectFrom('networks')
    .selectAll()
    .where((e) => e.or([e('project_id', '=', projectId), e('shared', '=', 1)]))
    .where((e) => e.or([e('external', '=', 0), e('project_id', '=', projectId), e('shared', '=', 1)]))
    .orderBy('created_at')
    .orderBy('id')
    .execute();
}

export async function insertNetwork(trx: Queries, wanted: NewNetwork, now: number): Promise<NetworkRow> {
  const row: NetworkRow = {
    ...standard(wanted, now),
    admin_state_up: Number(wanted.adminStateUp ?? true),
    shared: Number(wanted.shared ?? false),
    external: Number(wanted.external ?? false),
    is_default: Number(wanted.isDefault ?? false),
    mtu: wanted.mtu ?? DEFAULT_MTU,
    port_security: Number(wanted.portSecurity ?? true),
    dns_domain: wanted.dnsDomain ?? '',
    vni: wanted.vni ?? (await freeVni(trx)),
  };
  await trx.insertInto('networks').values(row).execute();
  return row;
}

async function freeVni(trx: Queries): Promise<number> {
  for (;;) {
    const guesses = Array.from({ length: 4 }, () => randomInt(1, VNIS));
    const rows = await trx.selectFrom('networks').select('vni').where('vni', 'in', guesses).execute();
    const taken = new Set(rows.map(({ vni }) => vni));
    const free = guesses.find((vni) => !taken.has(vni));
    if (free !== undefined) return free;
  }
}

/** With its subnets and service ports. Throws 409 while anybody else has a port there. */
export async function deleteNetwork(trx: Queries, id: string): Promise<void> {
  const ports = await trx.selectFrom('ports').select(['id', 'device_owner']).where('network_id', '=', id).execute();
  if (ports.some(({ device_owner }) => device_owner !== DEVICE_OWNERS.dhcp))
    throw new CloudError('networkInUse', { id });
  await deletePorts(
    trx,
    ports.map((port) => port.id),
  );
  const subnets = await trx.deleteFrom('subnets').where('network_id', '=', id).returning('id').execute();
  await deleteTags(trx, [id, ...subnets.map((subnet) => subnet.id)]);
  await trx.deleteFrom('networks').where('id', '=', id).execute();
}
