/**
 * Rescue and unrescue: the guest boots from a disk over another image, with its own disks behind that one, so that what is
 * broken on them can be mended; then back. The password of the rescue system is told in the answer to the request.
 */
import { NoInput, RescueInput, VERSIONS } from '#contracts/operation-inputs.ts';
import { POWER_STATES } from '#domain/instance/states.ts';
import { withPassword } from './config-drive.ts';
import { agentOf, revertGuest, startGuest, stopGuest } from './guest.ts';
import { fetchImage, shutOff } from './other-disk.ts';
import { defineOperation, HOURS } from './ports.ts';

export const rescue = defineOperation('rescue', { version: VERSIONS.rescue, input: RescueInput })
  .step('fetchImage', fetchImage('rescuing'))
  .step('stopGuest', shutOff)
  .step('rescueGuest', {
    doc: 'Puts a disk over the rescue image before the server’s own.',
    deadlineMs: HOURS,
    do: async (context) => {
      const { input, secrets, serverId, operationId, key, signal, onProgress } = context;
      const configDrive = withPassword(input.configDrive, secrets);
      const disk = { diskName: `rescue-${operationId}`, imageId: input.imageId, configDrive };
      await (await agentOf(context)).rescueGuest({ serverId, ...disk }, { key, signal, onProgress });
    },
    undo: revertGuest,
  })
  .step('startGuest', {
    doc: 'Boots the rescue system.',
    do: startGuest,
    record: () => ({ powerState: POWER_STATES.running }),
    undo: (context) => stopGuest(context, 0),
  });

export const unrescue = defineOperation('unrescue', { version: VERSIONS.unrescue, input: NoInput })
  .step('stopGuest', {
    doc: 'Ends the rescue system.',
    task: 'unrescuing',
    // The rescue disk cannot be brought back once it is gone, and half gone it is of no use.
    pointOfNoReturn: true,
    do: (context) => stopGuest(context, 0),
    undo: async (context) => void (await startGuest(context)),
  })
  .step('revertGuest', {
    doc: 'Takes the rescue disk away.',
    do: revertGuest,
  })
  .step('startGuest', {
    doc: 'Boots the server from its own disk.',
    do: startGuest,
    record: () => ({ powerState: POWER_STATES.running }),
  });
