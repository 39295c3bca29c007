/**
 * Shelve: the disk becomes an image and the server holds nothing of a host any more (or, where the cloud wants to offload
 * later, keeps its place there, shut off). Unshelve brings it back on any host.
 *
 * A running guest is shut off in order first, so that its files are whole on the image. Until the image is there all of it can
 * be taken back, and the guest runs again.
 */
import { NoInput, RESERVE_IMAGE, ShelveInput, VERSIONS } from '#contracts/operation-inputs.ts';
import { CloudError } from '#domain/errors.ts';
import { POWER_STATES } from '#domain/instance/states.ts';
import { copyDisk, reserveImage, uploadImage } from './disk-to-image.ts';
import { startGuest, stopGuest } from './guest.ts';
import { destroyGuest, releaseHost } from './placement.ts';
import { defineOperation, shutdownDeadlineMs } from './ports.ts';

const OFFLOADED = { vmState: 'shelved_offloaded', powerState: POWER_STATES.shutdown, host: null } as const;

export const shelve = defineOperation('shelve', { version: VERSIONS.shelve, input: ShelveInput })
  .step(RESERVE_IMAGE, reserveImage('shelving'))
  .step('shutOff', {
    doc: 'Shuts a running guest off; a paused or suspended one is copied as it is.',
    deadlineMs: shutdownDeadlineMs,
    do: async (context) => {
      if (context.input.wasRunning) await stopGuest(context, context.input.graceMs);
    },
    undo: async (context) => {
      if (context.input.wasRunning) await startGuest(context);
    },
  })
  .step('copyDisk', copyDisk('shelving_image_pending_upload'))
  .step('uploadImage', uploadImage('shelving_image_uploading'))
  .step('endGuest', {
    doc: 'Ends what is left of the guest’s process and memory.',
    do: (context) => stopGuest(context, 0),
    record: (_, { now, input }) => ({
      vmState: 'shelved',
      powerState: POWER_STATES.shutdown,
      shelvedImageId: input.imageId,
      shelvedAt: now,
    }),
  })
  .step('checkImage', {
    doc: 'Decides whether to leave the host: where that is wanted at once, and the image still holds the disk.',
    do: async ({ ports, input }) => ({ offload: input.offload && (await ports.images.isActive(input.imageId)) }),
  })
  .step('destroyGuest', {
    doc: 'Removes the guest’s files, where the server leaves its host.',
    task: 'shelving_offloading',
    do: async (context) => {
      if (context.outputs.checkImage.offload) await destroyGuest(context, context.outputs.reserveImage.host);
    },
  })
  .step('releaseHost', {
    doc: 'Gives the room on the host back.',
    do: async (context) => {
      const { offload } = context.outputs.checkImage;
      if (offload) await releaseHost(context);
      return { offload };
    },
    record: ({ offload }) => (offload ? OFFLOADED : { vmState: 'shelved' }),
  });

export const shelveOffload = defineOperation('shelveOffload', { version: VERSIONS.shelveOffload, input: NoInput })
  .step('checkImage', {
    doc: 'Makes sure that the disk is in the image: what is on the host may be the only copy, if that was deleted.',
    task: 'shelving_offloading',
    // Files that are half removed cannot be brought back.
    pointOfNoReturn: true,
    do: async ({ ports, serverId }) => {
      const imageId = await ports.servers.shelvedImageOf(serverId);
      const host = await ports.servers.hostOf(serverId);
      if (host === null) throw new CloudError('instanceNotReady', { id: serverId });
      if (imageId !== null && (await ports.images.isActive(imageId))) return { host };
      throw new CloudError('imageUnusable', {
        id: imageId ?? 'none',
        reason: 'it does not hold the server’s disk any more',
      });
    },
  })
  .step('destroyGuest', {
    doc: 'Removes the guest’s files; its disk is in the image.',
    do: (context) => destroyGuest(context, context.outputs.checkImage.host),
  })
  .step('releaseHost', {
    doc: 'Gives the room on the host back.',
    do: releaseHost,
    record: () => OFFLOADED,
  });
