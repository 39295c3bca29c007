/** What a conductor and an api ask of one host's compute agent. Every method is idempotent by server id. */
import { Type } from 'typebox';
import { contract } from './contract.ts';
import { ConfigDrive, GuestStateName, Id, Nic, Nothing } from './guest.ts';

const OneServer = Type.Object({ serverId: Id });

export const computeContract = contract('compute', {
  createGuest: {
    kind: 'job',
    timeout: 'normal',
    input: Type.Object({
      serverId: Id,
      name: Type.String(),
      imageId: Id,
      vcpus: Type.Integer({ minimum: 1 }),
      memoryMib: Type.Integer({ minimum: 1 }),
      /** Size of the root disk; 0 means the image's own. */
      diskGib: Type.Integer({ minimum: 0 }),
      nics: Type.Array(Nic),
      /** Files of the config drive, or null for none. */
      configDrive: Type.Union([ConfigDrive, Type.Null()]),
    }),
    output: Nothing,
    doc: 'Makes the guest’s files: the disk over the image, which is fetched into the host’s cache if it is not there, and the config drive.',
  },
  startGuest: {
    kind: 'call',
    timeout: 'slow',
    input: OneServer,
    output: Type.Object({ startedAt: Type.Integer() }),
    doc: 'Runs the guest; answers when it executes. `startedAt` is epoch ms.',
  },
  destroyGuest: {
    kind: 'call',
    timeout: 'slow',
    input: OneServer,
    output: Nothing,
    doc: 'Ends the process and removes every file of the guest. Absent: nothing.',
  },
  backupDisk: {
    kind: 'job',
    timeout: 'normal',
    input: Type.Object({ serverId: Id, imageId: Id }),
    output: Type.Object({ sizeBytes: Type.Integer(), virtualSizeBytes: Type.Integer(), live: Type.Boolean() }),
    doc: 'Copies the root disk of the guest, running or not, into a file that waits to be uploaded as that image.',
  },
  uploadBackup: {
    kind: 'job',
    timeout: 'normal',
    input: Type.Object({ imageId: Id }),
    output: Type.Object({ sizeBytes: Type.Integer() }),
    doc: 'Gives the waiting file to the image service; the image is active afterwards and the file gone.',
  },
  discardBackup: {
    kind: 'call',
    timeout: 'normal',
    input: Type.Object({ imageId: Id }),
    output: Nothing,
    doc: 'Ends the copy or upload for that image, if one runs, and removes its file.',
  },
  consoleOutput: {
    kind: 'call',
    timeout: 'fast',
    input: Type.Object({ serverId: Id, maxBytes: Type.Integer({ minimum: 0 }) }),
    output: Type.Object({ output: Type.String() }),
    doc: 'The end of what the guest wrote to its serial console.',
  },
  inspectGuest: {
    kind: 'call',
    timeout: 'fast',
    input: OneServer,
    output: Type.Object({ state: GuestStateName }),
    doc: 'What the guest does now, as the hypervisor says.',
  },
});
