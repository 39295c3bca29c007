/** Hosts as their agents present them: registration with the contract check, heartbeats. */
import type { Handlers } from '#bus/rpc.ts';
import type { conductorContract } from '#contracts/conductor.ts';
import { CONTRACT_VERSION } from '#contracts/contract.ts';
import type { Database } from '#db/database.ts';
import { markSeen, registerHost } from '#db/repo/hosts.ts';
import { CloudError } from '#domain/errors.ts';
import type { Log } from '#observe/log.ts';
import type { Reconciler } from './reconciler.ts';

export function hostRegistry(
  db: Database,
  reconciler: Reconciler,
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
      const description = {
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
        ...(input.address !== undefined && { address: input.address }),
        network_kind: input.networkKind ?? 'none',
        network_address: input.networkAddress ?? '',
        ...(input.bootedAt !== undefined && { booted_at: input.bootedAt }),
      };
      // With others that register now: each takes the next number.
      await db.commit((trx) => registerHost(trx, description, now()));
      log.info({ host: input.host, guests: input.guests.length }, 'host registered');
      return { deleted: await reconciler.compare(input.host, input.guests) };
    },
    async heartbeat({ host }) {
      await db.commitGuarded((trx) => markSeen(trx, [host], now()));
      return {};
    },
  };
}
