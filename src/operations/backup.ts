/**
 * Backup (`createBackup`): a snapshot of which only the last few of its type are kept. The oldest go once the new one is
 * there, never before.
 */
import { BackupInput, RESERVE_IMAGE, VERSIONS } from '#contracts/operation-inputs.ts';
import { copyDisk, reserveImage, uploadImage } from './disk-to-image.ts';
import { defineOperation } from './ports.ts';
import { removeImage } from './remove-image.ts';

export const backup = defineOperation('createBackup', { version: VERSIONS.createBackup, input: BackupInput })
  .step(RESERVE_IMAGE, reserveImage('image_backup'))
  .step('copyDisk', copyDisk('image_backup'))
  .step('uploadImage', uploadImage('image_uploading'))
  .step('rotate', {
    doc: 'Removes the oldest backups of the type beyond the wanted number.',
    do: async (context) => {
      const { ports, input, serverId, projectId, signal } = context;
      const all = await ports.images.backups({ serverId, projectId, backupType: input.backupType }, signal);
      for (const id of all.slice(input.rotation)) await removeImage(context, id);
    },
  });
