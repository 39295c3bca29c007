/**
 * Snapshot (`createImage`): the disk of a guest as a new image, without stopping the guest.
 *
 * The tutorial's way is: pause point → copy the disk → resume point → upload to Glance. Ours has the same points, but
 * the pause point is only the moment in which QEMU's backup job begins: from then on it copies the old content of every
 * block before the guest may overwrite it. A guest that does not run is copied offline by the same step.
 *
 * The image's id was chosen when the request was accepted. A failure or a cancel at any point removes the copy and the
 * image; the server is as it was.
 */
import { RESERVE_IMAGE, SnapshotInput, VERSIONS } from '#contracts/operation-inputs.ts';
import { CloudError } from '#domain/errors.ts';
import { defineOperation } from './ports.ts';

const HOURS = 3_600_000;

export const snapshot = defineOperation('createImage', { version: VERSIONS.createImage, input: SnapshotInput })
  .step(RESERVE_IMAGE, {
    doc: 'Makes the image’s record in Glance, status queued.',
    task: 'image_snapshot_pending',
    do: async ({ ports, input, projectId, serverId, signal }) => {
      await ports.images.ensure(
        {
          id: input.imageId,
          name: input.name,
          owner: projectId,
          minDiskGib: input.minDiskGib,
          minRamMib: input.minRamMib,
          properties: input.properties,
        },
        signal,
      );
      const host = await ports.servers.hostOf(serverId);
      if (host === null) throw new CloudError('instanceNotReady', { id: serverId });
      return { host };
    },
    undo: ({ ports, input, signal }) => ports.images.remove(input.imageId, signal),
  })
  .step('copyDisk', {
    doc: 'Copies the disk while the guest runs on.',
    task: 'image_snapshot',
    deadlineMs: 12 * HOURS,
    do: ({ ports, outputs, input, serverId, key, signal, onProgress }) =>
      ports
        .compute(outputs.reserveImage.host)
        .backupDisk({ serverId, imageId: input.imageId }, { key, signal, onProgress }),
    undo: async ({ ports, outputs, input, signal }) => {
      await ports.compute(outputs.reserveImage.host).discardBackup({ imageId: input.imageId }, { signal });
    },
  })
  .step('uploadImage', {
    doc: 'Gives the copy to Glance, which checks it, hashes it and makes the image active.',
    task: 'image_uploading',
    deadlineMs: 12 * HOURS,
    pointOfNoReturn: true,
    do: ({ ports, outputs, input, key, signal, onProgress }) =>
      ports.compute(outputs.reserveImage.host).uploadBackup({ imageId: input.imageId }, { key, signal, onProgress }),
  });
