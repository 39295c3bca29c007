/** Every operation there is, by kind. A kind without a definition does not compile. */
import type { OperationKind } from '#domain/operation/operation.ts';
import type { Operation } from '#journal/define.ts';
import { backup } from './backup.ts';
import { changePassword } from './change-password.ts';
import { migrate, resize } from './cold-move.ts';
import { evacuate } from './evacuate.ts';
import { hardReboot } from './hard-reboot.ts';
import { attachInterface, detachInterface } from './interface.ts';
import { launch } from './launch.ts';
import { liveMigrate } from './live-migrate.ts';
import { confirmResize, revertResize } from './moved.ts';
import { pause, unpause } from './pause.ts';
import type { Ports } from './ports.ts';
import { reboot } from './reboot.ts';
import { rebuild } from './rebuild.ts';
import { rescue, unrescue } from './rescue.ts';
import { restore } from './restore.ts';
import { shelve, shelveOffload } from './shelve.ts';
import { snapshot } from './snapshot.ts';
import { softDelete } from './soft-delete.ts';
import { start } from './start.ts';
import { forceStop, stop } from './stop.ts';
import { resume, suspend } from './suspend.ts';
import { forceTerminate, terminate } from './terminate.ts';
import { unshelve } from './unshelve.ts';

export const OPERATIONS: Readonly<Record<OperationKind, Operation<Ports>>> = {
  create: launch,
  delete: terminate,
  forceDelete: forceTerminate,
  softDelete,
  restore,
  start,
  stop,
  forceStop,
  reboot,
  hardReboot,
  pause,
  unpause,
  suspend,
  resume,
  rescue,
  unrescue,
  rebuild,
  shelve,
  shelveOffload,
  unshelve,
  createImage: snapshot,
  createBackup: backup,
  changePassword,
  resize,
  migrate,
  confirmResize,
  revertResize,
  evacuate,
  liveMigrate,
  attachInterface,
  detachInterface,
};
