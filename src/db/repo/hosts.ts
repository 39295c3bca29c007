/** Queries of hosts and of what servers hold of them. Usage is always the sum of the allocations. */
import { randomUUID } from 'node:crypto';
import type { Queries } from '../database.ts';
import type { AllocationRow, HostRow } from '../tables/compute.ts';
import { nextServiceNumber } from './services.ts';

export type HostDescription = Pick<
  HostRow,
  | 'name'
  | 'availability_zone'
  | 'vcpus'
  | 'memory_mib'
  | 'disk_gib'
  | 'hypervisor_type'
  | 'hypervisor_version'
  | 'cpu_model'
  | 'cpu_arch'
  | 'contract_version'
> &
  Partial<Pick<HostRow, 'address' | 'booted_at' | 'network_kind' | 'network_address'>>;

/** Nova's `service_down_time`: a host that was not heard of for so long is down. */
const DOWN_AFTER_MS = 60_000;
/** Two heartbeats and a half: when all hosts are silent for longer, it is not the hosts. */
const DEAF_AFTER_MS = 25_000;

/** Whether a host counts as up at `now`: it was heard of lately, and no operator says that it is dead. */
export function isUp(host: Pick<HostRow, 'seen_at' | 'forced_down'>, now: number): boolean {
  return host.forced_down === 0 && now - host.seen_at < DOWN_AFTER_MS;
}

/** Creates the host or renews what it says of itself; whether it is enabled is kept. In a transaction, for its number. */
export async function registerHost(trx: Queries, host: HostDescription, now: number): Promise<void> {
  await trx
    .insertInto('hosts')
    .values({
      address: '',
      booted_at: null,
      network_kind: 'none',
      network_address: '',
      ...host,
      id: randomUUID(),
      number: await nextServiceNumber(trx),
      enabled: 1,
      disabled_reason: null,
      forced_down: 0,
      seen_at: now,
      created_at: now,
      generation: 0,
    })
    .onConflict((conflict) =>
      conflict
        .column('name')
        .doUpdateSet((e) => ({ ...host, seen_at: now, generation: e('hosts.generation', '+', 1) })),
    )
    .execute();
}

export async function markSeen(db: Queries, names: readonly string[], now: number): Promise<void> {
  await db
    .updateTable('hosts')
    .set({ seen_at: now })
    .where('name', 'in', [...names])
    .execute();
}

/**
 * After a time in which nobody could hear hosts, none of them counts as down that was up before: each gets time for a
 * heartbeat. Who begins to listen calls this first.
 */
export async function forgiveSilence(db: Queries, now: number): Promise<void> {
  const { last } = await db
    .selectFrom('hosts')
    .select((e) => e.fn.max('seen_at').as('last'))
    .executeTakeFirstOrThrow();
  if (last === null || now - last < DEAF_AFTER_MS) return;
  await db
    .updateTable('hosts')
    .set({ seen_at: now - DOWN_AFTER_MS / 2 })
    .where('seen_at', '>', last - DOWN_AFTER_MS)
    .execute();
}

export function findHost(db: Queries, name: string): Promise<HostRow | undefined> {
  return db.selectFrom('hosts').selectAll().where('name', '=', name).executeTakeFirst();
}

export function listHosts(db: Queries): Promise<HostRow[]> {
  return db.selectFrom('hosts').selectAll().orderBy('name').execute();
}

export interface Usage {
  readonly vcpus: number;
  readonly memoryMib: number;
  readonly diskGib: number;
}

export const NO_USAGE: Usage = { vcpus: 0, memoryMib: 0, diskGib: 0 };

export async function usageOfHost(db: Queries, host: string): Promise<Usage> {
  return (await usageByHost(db, host)).get(host) ?? NO_USAGE;
}

/** Usage of every host that has any, or of one. */
export async function usageByHost(db: Queries, host?: string): Promise<Map<string, Usage>> {
  let query = db
    .selectFrom('allocations')
    .select((e) => [
      'host',
      e.fn.sum<number>('vcpus').as('vcpus'),
      e.fn.sum<number>('memory_mib').as('memory_mib'),
      e.fn.sum<number>('disk_gib').as('disk_gib'),
    ])
    .groupBy('host');
  if (host !== undefined) query = query.where('host', '=', host);
  const rows = await query.execute();
  return new Map(
    rows.map((row) => [
      row.host,
      { vcpus: Number(row.vcpus), memoryMib: Number(row.memory_mib), diskGib: Number(row.disk_gib) },
    ]),
  );
}

/** The room that a server holds where it is, or is being put. */
export async function findAllocation(db: Queries, serverId: string): Promise<AllocationRow | undefined> {
  return (await allocationsOf(db, serverId)).find(({ held_for }) => held_for === 'server');
}

/** All the room that a server holds; while it moves that is on two hosts. */
export function allocationsOf(db: Queries, serverId: string): Promise<AllocationRow[]> {
  return db.selectFrom('allocations').selectAll().where('server_id', '=', serverId).execute();
}

/** Where these servers have room. */
export async function hostsOfServers(db: Queries, serverIds: readonly string[]): Promise<Set<string>> {
  const rows = await db
    .selectFrom('allocations')
    .select('host')
    .where('server_id', 'in', [...serverIds])
    .where('held_for', '=', 'server')
    .execute();
  return new Set(rows.map(({ host }) => host));
}

/**
 * Books room on a host that was read at `generation`. Answers false when anything was booked there since; then read
 * again. The caller has checked that there is room.
 */
export async function insertAllocation(trx: Queries, allocation: AllocationRow, generation: number): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable('hosts')
    .set({ generation: generation + 1 })
    .where('name', '=', allocation.host)
    .where('generation', '=', generation)
    .executeTakeFirst();
  if (numUpdatedRows === 0n) return false;
  await trx.insertInto('allocations').values(allocation).execute();
  return true;
}

/** Frees what the server holds, or only what it holds for one thing; answers the hosts. */
export async function removeAllocations(
  trx: Queries,
  serverId: string,
  heldFor?: AllocationRow['held_for'],
): Promise<string[]> {
  let query = trx.deleteFrom('allocations').where('server_id', '=', serverId);
  if (heldFor) query = query.where('held_for', '=', heldFor);
  const hosts = (await query.returning('host').execute()).map(({ host }) => host);
  if (hosts.length > 0) {
    await trx
      .updateTable('hosts')
      .set((e) => ({ generation: e('generation', '+', 1) }))
      .where('name', 'in', hosts)
      .execute();
  }
  return hosts;
}

/** What a server holds it holds from now on for something else; the room is the same. */
export async function holdFor(trx: Queries, serverId: string, heldFor: AllocationRow['held_for']): Promise<void> {
  await trx.updateTable('allocations').set({ held_for: heldFor }).where('server_id', '=', serverId).execute();
}
