/** The flavors of a new cloud: Nova's classic five and two small ones for small guests. */

import type { Database } from '#db/database.ts';
import { insertFlavor } from '#db/repo/flavors.ts';

const DEFAULTS = [
  { id: '42', name: 'm1.nano', memoryMib: 128, vcpus: 1, diskGib: 1 },
  { id: '84', name: 'm1.micro', memoryMib: 256, vcpus: 1, diskGib: 1 },
  { id: '1', name: 'm1.tiny', memoryMib: 512, vcpus: 1, diskGib: 1 },
  { id: '2', name: 'm1.small', memoryMib: 2048, vcpus: 1, diskGib: 20 },
  { id: '3', name: 'm1.medium', memoryMib: 4096, vcpus: 2, diskGib: 40 },
  { id: '4', name: 'm1.large', memoryMib: 8192, vcpus: 4, diskGib: 80 },
  { id: '5', name: 'm1.xlarge', memoryMib: 16_384, vcpus: 8, diskGib: 160 },
];

/** Writes them into a cloud that has neither flavors nor ever had a server; one whose flavors were all deleted keeps it so. */
export async function ensureDefaultFlavors(db: Database, now: number): Promise<void> {
  await db.transaction(async (trx) => {
    const flavor = await trx.selectFrom('flavors').select('id').limit(1).executeTakeFirst();
    const server = await trx.selectFrom('servers').select('id').limit(1).executeTakeFirst();
    if (flavor || server) return;
    for (const { id, name, memoryMib, vcpus, diskGib } of DEFAULTS) {
      await insertFlavor(trx, {
        id,
        name,
        vcpus,
        memory_mib: memoryMib,
        disk_gib: diskGib,
        ephemeral_gib: 0,
        swap_mib: 0,
        rxtx_factor: 1,
        is_public: 1,
        disabled: 0,
        description: null,
        extra_specs: '{}',
        created_at: now,
      });
    }
  });
}
