/**
 * Unshelve: a shelved server lives again, on its host if it never left, else on any, with the disk from its image. When it
 * runs the image has done its duty and is removed.
 */
import { UnshelveInput, VERSIONS } from '#contracts/operation-inputs.ts';
import { POWER_STATES } from '#domain/instance/states.ts';
import { startGuest, stopGuest } from './guest.ts';
import { claimHost, createGuest, destroyGuest, releaseHost } from './placement.ts';
import { defineOperation, HOURS } from './ports.ts';
import { removeImage } from './remove-image.ts';

export const unshelve = defineOperation('unshelve', { version: VERSIONS.unshelve, input: UnshelveInput })
  .step('schedule', {
    doc: 'Picks a host and claims the room on it; a server that never left keeps its own.',
    task: 'unshelving',
    do: (context) => claimHost(context),
    record: ({ host, availabilityZone }) => ({ host, availabilityZone }),
    undo: async (context) => {
      if (context.input.isOffloaded) await releaseHost(context);
    },
    unrecord: ({ input }) => (input.isOffloaded ? { host: null } : {}),
  })
  .step('createGuest', {
    doc: 'Makes the guest’s disk over the shelved image, where it is not on the host still.',
    task: 'spawning',
    deadlineMs: HOURS,
    do: async (context) => {
      if (context.input.isOffloaded) await createGuest(context, context.outputs.schedule.host);
    },
    undo: async (context) => {
      if (context.input.isOffloaded) await destroyGuest(context, context.outputs.schedule.host);
    },
  })
  .step('startGuest', {
    doc: 'Boots the guest.',
    pointOfNoReturn: true,
    do: startGuest,
    record: ({ startedAt }) => ({
      powerState: POWER_STATES.running,
      launchedAt: startedAt,
    }),
    undo: (context) => stopGuest(context, 0),
  })
  .step('removeImage', {
    doc: 'Removes the shelved image.',
    do: (context) => removeImage(context, context.input.imageId),
    record: () => ({ shelvedImageId: null, shelvedAt: null }),
  });
