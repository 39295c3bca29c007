/**
 * From a guest's disk to an image: the three steps that a snapshot, a backup and a shelving have in common.
 *
 * The tutorial's way is: pause point → copy the disk → resume point → upload to Glance. Ours has the same points, but
 * the pause point is only the moment in which QEMU's backup job begins: from then on it copies the old content of every
 * block before the guest may overwrite it. A guest that does not run is copied offline by the same step.
 *
 * The image's id was chosen when the request was accepted. A failure or a cancel at any point removes the copy and the
 * image.
 */
import type { SnapshotInput } from '#contracts/operation-inputs.ts';
import { CloudError } from '#domain/errors.ts';
import type { TaskState } from '#domain/instance/states.ts';
import type { Step } from '#journal/define.ts';
import { HOURS, type Ports } from './ports.ts';
import { removeImage } from './remove-image.ts';

interface Reserved {
  readonly host: string;
}
type ImageStep<Outputs, Output> = Step<Ports, SnapshotInput, Outputs, Output>;

/** Makes the image's record in Glance. Named `reserveImage` wherever it is used. */
export function reserveImage(task: TaskState): ImageStep<object, Reserved> {
  return {
    doc: 'Makes the image’s record in Glance, status queued.',
    task,
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
    undo: (context) => removeImage(context, context.input.imageId),
  };
}

/** Copies the disk on the host. */
export function copyDisk(task: TaskState): ImageStep<{ readonly reserveImage: Reserved }, unknown> {
  return {
    doc: 'Copies the disk; a guest that runs goes on running.',
    task,
    deadlineMs: 12 * HOURS,
    do: ({ ports, outputs, input, serverId, key, signal, onProgress }) =>
      ports
        .compute(outputs.reserveImage.host)
        .backupDisk({ serverId, imageId: input.imageId, quiesce: input.quiesce }, { key, signal, onProgress }),
    undo: async ({ ports, outputs, input, signal }) => {
      await ports.compute(outputs.reserveImage.host).discardBackup({ imageId: input.imageId }, { signal });
    },
  };
}

/** Brings the copy to Glance; what was begun for it cannot be taken back any more. */
export function uploadImage(task: TaskState): ImageStep<{ readonly reserveImage: Reserved }, unknown> {
  return {
    doc: 'Gives the copy to Glance, which checks it, hashes it and makes the image active.',
    task,
    deadlineMs: 12 * HOURS,
    pointOfNoReturn: true,
    do: ({ ports, outputs, input, key, signal, onProgress }) =>
      ports.compute(outputs.reserveImage.host).uploadBackup({ imageId: input.imageId }, { key, signal, onProgress }),
  };
}
