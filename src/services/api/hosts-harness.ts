/** For tests: hosts as their agents register them, with what one wants of them. */
import type { Database } from '#db/database.ts';
import { type HostDescription, registerHost } from '#db/repo/hosts.ts';

/** Registers a host of 8 CPUs, 16 GiB and 100 GiB at `now`, epoch ms. */
export function addHost(
  db: Database,
  host: Partial<HostDescription> & { readonly name: string },
  now: number,
): Promise<void> {
  const description: HostDescription = {
    availability_zone: 'nova',
    vcpus: 8,
    memory_mib: 16_384,
    disk_gib: 100,
    hypervisor_type: 'QEMU',
    hypervisor_version: 7_002_000,
    cpu_model: 'qemu64',
    cpu_arch: 'x86_64',
    contract_version: 2,
    address: '192.0.2.1',
    ...host,
  };
  return db.transaction((trx) => registerHost(trx, description, now));
}

/** Gives a server room on a host, as a claim does. */
export async function addAllocation(
  db: Database,
  serverId: string,
  host: string,
  heldFor: 'server' | 'migration' = 'server',
): Promise<void> {
  await db.queries
    .insertInto('allocations')
    .values({ server_id: serverId, held_for: heldFor, host, vcpus: 2, memory_mib: 1024, disk_gib: 10, created_at: 0 })
    .execute();
}
