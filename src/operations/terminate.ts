/**
 * Terminate (`DELETE /servers/{id}`): process, files and claim gone, from every state.
 *
 * It is stronger than anything in flight: a launch or snapshot that runs is told to undo itself, and has ended before
 * anything is removed here. It never gives up: a host that does not answer is asked again until it does or is known to
 * be down; one that was down removes the guest when it returns, because the record says that it is deleted.
 */
import { TerminateInput, VERSIONS } from '#contracts/operation-inputs.ts';
import { POWER_STATES } from '#domain/instance/states.ts';
import { defineOperation } from './ports.ts';

export const terminate = defineOperation('delete', { version: VERSIONS.delete, input: TerminateInput })
  .step('preempt', {
    doc: 'Ends whatever else is going on with the server.',
    task: 'deleting',
    pointOfNoReturn: true,
    deadlineMs: 600_000,
    do: async ({ ports, serverId, operationId, signal }) => {
      await ports.servers.preempt(serverId, operationId, signal);
      return { host: await ports.servers.hostOf(serverId) };
    },
  })
  .step('destroyGuest', {
    doc: 'Ends QEMU and removes the guest’s files.',
    do: async ({ ports, outputs, serverId, key, signal }) => {
      const { host } = outputs.preempt;
      // A host that is down cannot be asked; its agent is told what to remove when it registers again.
      if (host === null || !(await ports.servers.isHostUp(host))) return;
      await ports.compute(host).destroyGuest({ serverId }, { key, signal });
    },
  })
  .step('releaseHost', {
    doc: 'Gives the room on the host back.',
    do: async ({ ports, serverId, key, signal }) => {
      await ports.scheduler.releaseHost({ serverId }, { key, signal });
      return null;
    },
    record: (_, { now }) => ({ powerState: POWER_STATES.none, terminatedAt: now, deletedAt: now, host: null }),
  });
