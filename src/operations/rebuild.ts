/**
 * Rebuild: a new root disk from an image or snapshot under the same server: id, ports, MACs, addresses, flavor and host stay.
 *
 * The old disk is kept beside the new one until the guest runs from that. A failure before puts it back; the server is in
 * ERROR then, so that nobody takes the old disk for the new one, and a hard reboot brings it back to ACTIVE.
 */
import { RebuildInput, VERSIONS } from '#contracts/operation-inputs.ts';
import { POWER_STATES } from '#domain/instance/states.ts';
import { withPassword } from './config-drive.ts';
import { agentOf, revertGuest, startGuest, stopGuest } from './guest.ts';
import { fetchImage, shutOff } from './other-disk.ts';
import { defineOperation, HOURS } from './ports.ts';

export const rebuild = defineOperation('rebuild', { version: VERSIONS.rebuild, input: RebuildInput })
  .step('fetchImage', fetchImage('rebuilding'))
  .step('stopGuest', shutOff)
  .step('replaceDisk', {
    doc: 'Makes the new disk; the old one is kept for the time being.',
    task: 'rebuild_block_device_mapping',
    deadlineMs: HOURS,
    do: async (context) => {
      const { input, secrets, serverId, operationId, key, signal, onProgress } = context;
      await (await agentOf(context)).replaceDisk(
        {
          serverId,
          diskName: `disk-${operationId}`,
          imageId: input.imageId,
          diskGib: input.diskGib,
          configDrive: withPassword(input.configDrive, secrets),
          guestAgent: input.guestAgent,
        },
        { key, signal, onProgress },
      );
    },
    undo: revertGuest,
  })
  .step('startGuest', {
    doc: 'Boots from the new disk, unless the server was shut off.',
    task: 'rebuild_spawning',
    pointOfNoReturn: true,
    do: async (context) => {
      if (context.input.run) await startGuest(context);
    },
    record: (_, { now, input }) => ({
      powerState: input.run ? POWER_STATES.running : POWER_STATES.shutdown,
      ...(input.run && { launchedAt: now }),
      changes: input.changes,
    }),
    undo: (context) => stopGuest(context, 0),
  })
  .step('settleGuest', {
    doc: 'Removes the old disk.',
    do: async (context) => {
      const { serverId, signal } = context;
      await (await agentOf(context)).settleGuest({ serverId }, { signal });
    },
    record: (_, { input }) => ({ vmState: input.run ? 'active' : 'stopped' }),
  });
