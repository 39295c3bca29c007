/**
 * Snapshot (`createImage`): the disk of a guest as a new image, without stopping the guest. See `disk-to-image.ts` for
 * how. After a failure or a cancel the server is as it was, and there is no image.
 */
import { RESERVE_IMAGE, SnapshotInput, VERSIONS } from '#contracts/operation-inputs.ts';
import { copyDisk, reserveImage, uploadImage } from './disk-to-image.ts';
import { defineOperation } from './ports.ts';

/** 0.1.0 knew no guest agent. */
const OLDER = { 1: { input: (input: object) => ({ quiesce: 'possible', ...input }) } };

export const snapshot = defineOperation('createImage', {
  version: VERSIONS.createImage,
  input: SnapshotInput,
  older: OLDER,
})
  .step(RESERVE_IMAGE, reserveImage('image_snapshot_pending'))
  .step('copyDisk', copyDisk('image_snapshot'))
  .step('uploadImage', uploadImage('image_uploading'));
