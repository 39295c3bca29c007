/** Hosts in a record that no agent stands behind, large enough that none is ever full. */
import type { Database } from '#db/database.ts';
import { registerHost } from '#db/repo/hosts.ts';

export const ROOM = { vcpus: 4096, memoryMib: 8_388_608, diskGib: 65_536 };

/** Registers so many, all of them up until tomorrow: no heartbeats come. */
export async function addHosts(db: Database, count: number): Promise<void> {
  const description = {
    availability_zone: 'nova',
    vcpus: ROOM.vcpus,
    memory_mib: ROOM.memoryMib,
    disk_gib: ROOM.diskGib,
    hypervisor_type: 'QEMU',
    hypervisor_version: 7_002_000,
    cpu_model: 'any',
    cpu_arch: 'x86_64',
    contract_version: 1,
  };
  const tomorrow = Date.now() + 86_400_000;
  await db.transaction(async (trx) => {
    for (let at = 0; at < count; at++) await registerHost(trx, { name: `host-${at}`, ...description }, tomorrow);
  });
}
