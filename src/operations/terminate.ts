/**
 * Terminate (`DELETE /servers/{id}`, `forceDelete`): process, files, ports and claim gone, from every state.
 *
 * It is stronger than anything in flight: a launch or snapshot that runs is told to undo itself, and has ended before
 * anything is removed here. A host that does not answer is asked again until it does or is known to be down; one that
 * was down removes the guest when it returns, because the record says that it is deleted. What a host cannot remove waits
 * for a person.
 */
import { NoInput, VERSIONS } from '#contracts/operation-inputs.ts';
import { POWER_STATES } from '#domain/instance/states.ts';
import { defineOperation, PREEMPT_DEADLINE_MS } from './ports.ts';
import { removeImage } from './remove-image.ts';

/** In 0.1.0 a server held one host. */
const OLDER = {
  1: {
    outputs: {
      preempt: ({ host, ...hosts }: { readonly host?: unknown }) => ({ hosts: host ? [host] : [], ...hosts }),
    },
  },
};

export const terminate = terminating('delete');
export const forceTerminate = terminating('forceDelete');

function terminating(kind: 'delete' | 'forceDelete') {
  return defineOperation(kind, { version: VERSIONS[kind], input: NoInput, older: OLDER })
    .step('preempt', {
      doc: 'Ends whatever else is going on with the server.',
      task: 'deleting',
      pointOfNoReturn: true,
      deadlineMs: PREEMPT_DEADLINE_MS,
      do: async ({ ports, serverId, operationId, signal }) => {
        await ports.servers.preempt(serverId, operationId, signal);
        return { hosts: await ports.servers.hostsOf(serverId) };
      },
    })
    .step('destroyGuest', {
      doc: 'Ends QEMU and removes the guest’s files.',
      do: async ({ ports, outputs, serverId, key, signal }) => {
        for (const host of outputs.preempt.hosts) {
          // One that is down cannot be asked; its agent is told what to remove when it registers again.
          if (await ports.servers.isHostUp(host))
            await ports.compute(host).destroyGuest({ serverId }, { key: `${key}/${host}`, signal });
        }
      },
    })
    .step('removeShelvedImage', {
      doc: 'Removes the image that held the disk of a shelved server.',
      do: async (context) => {
        const imageId = await context.ports.servers.shelvedImageOf(context.serverId);
        if (imageId !== null) await removeImage(context, imageId);
      },
    })
    .step('releasePorts', {
      doc: 'Deletes the ports that were made for the server, and frees those that were given to it.',
      do: async ({ ports, serverId }) => ports.networks.release(serverId),
    })
    .step('releaseHost', {
      doc: 'Gives the room on the host back.',
      do: async ({ ports, serverId, key, signal }) => {
        await ports.scheduler.releaseHost({ serverId }, { key, signal });
        return null;
      },
      record: (_, { now }) => ({ powerState: POWER_STATES.none, terminatedAt: now, deletedAt: now, host: null }),
    });
}
