/** Queries of hosts and of what servers hold of them. Usage is always the sum of the allocations. */
import { randomUUID } from 'node:crypto';
import type { Queries } from '../database.ts';
import type { AllocationRow, HostRow } from '../tables/compute.ts';

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
>;

/** Creates the host or renews what it says of itself; whether it is enabled is kept. */
export async function registerHost(db: Queries, host: HostDescription, now: number): Promise<void> {
  await db
    .insertInto('hosts')
    .values({
      ...host,
      id: randomUUID(),
      enabled: 1,
      disabled_reason: null,
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

export function findAllocation(db: Queries, serverId: string): Promise<AllocationRow | undefined> {
  return db.selectFrom('allocations').selectAll().where('server_id', '=', serverId).executeTakeFirst();
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

/** Frees what the server holds; answers the host it held. */
export async function removeAllocation(trx: Queries, serverId: string): Promise<string | null> {
  const row = await trx
    .deleteFrom('allocations')
    .where('server_id', '=', serverId)
    .returning('host')
    .executeTakeFirst();
  if (!row) return null;
  await trx
    .updateTable('hosts')
    .set((e) => ({ generation: e('generation', '+', 1) }))
    .where('name', '=', row.host)
    .execute();
  return row.host;
}
