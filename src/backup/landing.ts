/**
 * What becomes of servers where a backup is restored: none of the old hosts is there, so each is off its host, and unshelving brings it
 * back from the image of its disk. What went on when the backup was taken has ended.
 */
import type { Transaction } from 'kysely';
import type { Schema } from '#db/database.ts';
import { ENDED } from '#db/repo/server-migrations.ts';
import { CloudError } from '#domain/errors.ts';
import { POWER_STATES } from '#domain/instance/states.ts';

export interface Landed {
  /** Servers that can be unshelved. */
  readonly offHosts: number;
  /** Servers whose disks are not in the backup; they are in ERROR. */
  readonly lost: number;
}

/** `disks`: the image of each server’s disk, by the server’s id; images that are not in the record do not count. `now`: epoch ms. */
export async function landServers(
  trx: Transaction<Schema>,
  disks: ReadonlyMap<string, string>,
  now: number,
): Promise<Landed> {
  await endWork(trx, now);
  const counts = { offHosts: 0, lost: 0 };
  const living = await trx
    .selectFrom('servers')
    .select(['id', 'project_id', 'vm_state', 'shelved_image_id', 'soft_deleted_at'])
    .where('deleted_at', 'is', null)
    .execute();
  for (const server of living) {
    const change = trx
      .updateTable('servers')
      .set((e) => ({
        version: e('version', '+', 1),
        host: null,
        task_state: null,
        operation_id: null,
        updated_at: now,
      }))
      .where('id', '=', server.id);
    const disk = await existing(trx, disks.get(server.id) ?? server.shelved_image_id);
    if (server.soft_deleted_at !== null) {
      await change.set({ vm_state: 'deleted', deleted_at: now, terminated_at: now }).execute();
    } else if (disk) {
      counts.offHosts += 1;
      await change
        .set({ vm_state: 'shelved_offloaded', power_state: POWER_STATES.shutdown, fault: null, progress: 0 })
        .set({ shelved_image_id: disk, shelved_at: now })
        .execute();
      await trx.updateTable('images').set({ owner: server.project_id }).where('id', '=', disk).execute();
    } else {
      counts.lost += 1;
      const message = 'The cloud was restored from a backup that does not have the disk of this server.';
      const fault = JSON.stringify({ code: 500, message, created: now });
      await change.set({ vm_state: 'error', power_state: POWER_STATES.none, fault }).execute();
    }
  }
  return counts;
}

async function existing(trx: Transaction<Schema>, image: string | null): Promise<string | null> {
  if (image === null) return null;
  const row = await trx.selectFrom('images').select('id').where('id', '=', image).executeTakeFirst();
  return row?.id ?? null;
}

async function endWork(trx: Transaction<Schema>, now: number): Promise<void> {
  const reason = 'The cloud was restored from a backup that was taken while this went on.';
  await trx
    .updateTable('operations')
    .set({ state: 'abandoned', finished_at: now, updated_at: now, secrets: null, lease_owner: null, progress: null })
    .set({ error: JSON.stringify(new CloudError('conflict', { reason }).toData()) })
    .where('finished_at', 'is', null)
    .execute();
  await trx
    .updateTable('server_migrations')
    .set({ status: 'error', updated_at: now })
    .where('status', 'not in', ENDED)
    .execute();
}
