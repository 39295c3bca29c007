/** Hosts as their agents present them: registration with the contract check, heartbeats. */
import type { Handlers } from '#bus/rpc.ts';
import type { conductorContract } from '#contracts/conductor.ts';
import { CONTRACT_VERSION } from '#contracts/contract.ts';
import type { Database } from '#db/database.ts';
import { markSeen, registerHost } from '#db/repo/hosts.ts';
import { CloudError } from '#domain/errors.ts';
import type { Log } from '#observe/log.ts';
import { recordGuestState } from './guest-changes.ts';

export function hostRegistry(
  db: Database,
  log: Log,
  now: () => number,
): Pick<Handlers<typeof conductorContract>, 'registerHost' | 'heartbeat'> {
  return {
    async registerHost(input) {
      if (input.contractVersion !== CONTRACT_VERSION) {
        throw new CloudError('contractMismatch', {
          what: `Host ${input.host}`,
          theirs: input.contractVersion,
          ours: CONTRACT_VERSION,
        });
      }
      await registerHost(
        db.queries,
        {
          name: input.host,
          availability_zone: input.availabilityZone,
          vcpus: input.capacity.vcpus,
          memory_mib: input.capacity.memoryMib,
          disk_gib: input.capacity.diskGib,
          hypervisor_type: input.hypervisorType,
          hypervisor_version: input.hypervisorVersion,
          cpu_model: input.cpuModel,
          cpu_arch: input.cpuArch,
          contract_version: input.contractVersion,
        },
        now(),
      );
      log.info({ host: input.host, guests: input.guests.length }, 'host registered');
      const deleted: string[] = [];
      for (const { serverId, state } of input.guests) {
        const row = await db.queries
          .selectFrom('servers')
          .select('deleted_at')
          .where('id', '=', serverId)
          .executeTakeFirst();
        // Only what the record says was deleted is removed; a guest that nobody knows is left alone and shown by `doctor`.
        if (row?.deleted_at) deleted.push(serverId);
        else await recordGuestState(db, serverId, state, now());
      }
      return { deleted };
    },
    async heartbeat({ host }) {
      await db.commit((trx) => markSeen(trx, [host], now()));
      return {};
    },
  };
}
