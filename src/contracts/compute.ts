/** What a conductor and an api ask of one host's compute agent. Every method is idempotent by server id. */
import { Type } from 'typebox';
import { contract } from './contract.ts';
import { ConfigDrive, GuestStatus, Id, Mac, Nic, Nothing, Resources } from './guest.ts';
import { Offer, OfferedGuest, OfferedLiveGuest } from './offer.ts';

const OneServer = Type.Object({ serverId: Id });
const OfferRequest = Type.Object({
  serverId: Id,
  /** Whoever asks knows that there may be nothing to copy. */
  mayShare: Type.Optional(Type.Boolean()),
});

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
      /** The image has a QEMU guest agent. */
      guestAgent: Type.Boolean(),
      /** A dead host: disks that it left on storage that this one shares are taken over instead. */
      disksOf: Type.Optional(Type.String()),
    }),
    output: Type.Object({ keptDisks: Type.Optional(Type.Boolean()) }),
    doc: 'Makes the guest’s files: the disk over the image, which is fetched into the host’s cache if it is not there, and the config drive.',
  },
  startGuest: {
    kind: 'call',
    timeout: 'slow',
    input: OneServer,
    output: Type.Object({ startedAt: Type.Integer() }),
    doc: 'Makes the guest execute: a stopped one boots, a paused or suspended one goes on. `startedAt` is epoch ms.',
  },
  stopGuest: {
    kind: 'job',
    timeout: 'normal',
    input: Type.Object({ serverId: Id, graceMs: Type.Integer({ minimum: 0 }) }),
    output: Nothing,
    doc: 'Asks the guest to power off, and ends its process after the grace (0: at once). Cancelled: the guest runs on unless it powers off after all.',
  },
  rebootGuest: {
    kind: 'job',
    timeout: 'normal',
    input: Type.Object({ serverId: Id, graceMs: Type.Integer({ minimum: 0 }) }),
    output: Type.Object({ rebooted: Type.Boolean() }),
    doc: 'Asks the guest to shut down and boots it again in the same process; `rebooted` is false when it did not shut down in time.',
  },
  pauseGuest: {
    kind: 'call',
    timeout: 'normal',
    input: OneServer,
    output: Nothing,
    doc: 'Stops the guest’s processors; its memory stays.',
  },
  suspendGuest: {
    kind: 'job',
    timeout: 'normal',
    input: OneServer,
    output: Nothing,
    doc: 'Writes the guest’s memory to the host’s disk and ends its process; starting it goes on where it was.',
  },
  plugNic: {
    kind: 'call',
    timeout: 'slow',
    input: Type.Object({ serverId: Id, nic: Nic }),
    output: Nothing,
    doc: 'Gives the guest one more network card, whether it runs or not.',
  },
  unplugNic: {
    kind: 'job',
    timeout: 'normal',
    input: Type.Object({ serverId: Id, mac: Mac }),
    output: Nothing,
    doc: 'Takes a network card out; a running guest lets go of it first.',
  },
  networkChanged: {
    kind: 'cast',
    timeout: 'fast',
    input: Nothing,
    output: Nothing,
    doc: 'What the host’s networks shall be has changed: ask for it now. A hint; the agent also asks by itself.',
  },
  fetchImage: {
    kind: 'job',
    timeout: 'normal',
    input: Type.Object({ imageId: Id }),
    output: Type.Object({ cached: Type.Boolean() }),
    doc: 'Gets an image into the host’s cache.',
  },
  replaceDisk: {
    kind: 'job',
    timeout: 'normal',
    input: Type.Object({
      serverId: Id,
      /** Names the new disk; repeated with the same name, the same disk. */
      diskName: Id,
      imageId: Id,
      diskGib: Type.Integer({ minimum: 0 }),
      configDrive: Type.Union([ConfigDrive, Type.Null()]),
      guestAgent: Type.Boolean(),
    }),
    output: Nothing,
    doc: 'Gives a stopped guest a new root disk over an image; the old one is kept until `settleGuest` or `revertGuest`.',
  },
  rescueGuest: {
    kind: 'job',
    timeout: 'normal',
    input: Type.Object({
      serverId: Id,
      /** Names the rescue disk; repeated with the same name, the same disk. */
      diskName: Id,
      imageId: Id,
      configDrive: ConfigDrive,
    }),
    output: Nothing,
    doc: 'Lets a stopped guest boot from a disk over a rescue image, with its own disks behind it, until `revertGuest`.',
  },
  resizeGuest: {
    kind: 'job',
    timeout: 'normal',
    input: Type.Object({
      serverId: Id,
      /** Names the disk of the new size; repeated with the same name, the same disk. */
      diskName: Id,
      /** A disk that is larger already stays as it is. */
      resources: Resources,
    }),
    output: Nothing,
    doc: 'Gives a stopped guest another size and a copy of its disk; the old ones are kept until `settleGuest` or `revertGuest`.',
  },
  offerGuest: {
    kind: 'call',
    timeout: 'normal',
    input: OfferRequest,
    output: Type.Object({ offer: Offer, guest: OfferedGuest }),
    doc: 'Holds the disks of a stopped guest out to another agent, until `withdrawOffer`, or nobody has come for a while.',
  },
  withdrawOffer: {
    kind: 'call',
    timeout: 'fast',
    input: Type.Object({ offerId: Type.String() }),
    output: Nothing,
    doc: 'Ends an offer. None: nothing.',
  },
  receiveGuest: {
    kind: 'job',
    timeout: 'normal',
    input: Type.Object({ serverId: Id, offer: Offer, guest: OfferedGuest, resources: Resources }),
    output: Type.Object({
      bytes: Type.Integer(),
      /** Nothing was copied: the disks are the other’s, and belong to this host now. */
      sharedDisks: Type.Optional(Type.Boolean()),
    }),
    doc: 'Makes a guest of what another agent offers, with this size; it is stopped afterwards, and the other’s is as it was.',
  },
  offerBases: {
    kind: 'call',
    timeout: 'normal',
    input: OfferRequest,
    output: Type.Object({ offer: Offer, guest: OfferedLiveGuest }),
    doc: 'Holds the images below the disks of a running or paused guest out to another agent, until `withdrawOffer`, or nobody has come for a while.',
  },
  receiveLive: {
    kind: 'job',
    timeout: 'normal',
    input: Type.Object({ serverId: Id, offer: Offer, guest: OfferedLiveGuest }),
    /** The streams by which the guest comes; good for one `migrateLive`. */
    output: Type.Object({
      offer: Offer,
      /** Its disks are those that the other has: `migrateLive` is to be told. */
      sharedDisks: Type.Optional(Type.Boolean()),
    }),
    doc: 'Makes a guest, with empty disks over what another agent’s `offerBases` holds out, that waits for `migrateLive`. Repeated: made anew.',
  },
  migrateLive: {
    kind: 'job',
    timeout: 'normal',
    input: Type.Object({
      serverId: Id,
      offer: Offer,
      /** The other side, which has the same disks: they do not go, and belong to it afterwards. */
      disksTo: Type.Optional(Type.String()),
    }),
    output: Nothing,
    doc: 'Sends a running or paused guest to where `receiveLive` offers its streams. Afterwards both are paused until `startGuest` or `pauseGuest` of the one and `destroyGuest` of the other, in whichever direction. Failed or cancelled: it is as it was.',
  },
  hurryMigration: {
    kind: 'call',
    timeout: 'normal',
    input: OneServer,
    output: Nothing,
    doc: 'Stops the guest’s processors while `migrateLive` sends it, so that the rest goes at once.',
  },
  settleGuest: {
    kind: 'call',
    timeout: 'normal',
    input: OneServer,
    output: Nothing,
    doc: 'Makes `replaceDisk` final: the old disk goes. Nothing replaced: nothing.',
  },
  revertGuest: {
    kind: 'call',
    timeout: 'normal',
    input: Type.Object({
      serverId: Id,
      /** Takes back `rescueGuest` and nothing else. */
      onlyRescue: Type.Optional(Type.Boolean()),
    }),
    output: Nothing,
    doc: 'Takes `replaceDisk` or `rescueGuest` of a stopped guest back. Nothing replaced: nothing.',
  },
  takeDisks: {
    kind: 'call',
    timeout: 'normal',
    input: Type.Object({ serverId: Id, from: Type.String() }),
    output: Nothing,
    doc: 'Makes disks on shared storage this host’s that were that one’s, where the guest does not execute. They are already: nothing. Asked only of a host that says who holds them.',
  },
  destroyGuest: {
    kind: 'call',
    timeout: 'slow',
    input: Type.Object({
      serverId: Id,
      /** Disks on shared storage that came from that host go back to it, and are not removed. */
      disksTo: Type.Optional(Type.String()),
    }),
    output: Nothing,
    doc: 'Ends the process and removes every file of the guest, but for disks on shared storage that belong to another host. Absent: nothing.',
  },
  backupDisk: {
    kind: 'job',
    timeout: 'normal',
    input: Type.Object({
      serverId: Id,
      imageId: Id,
      /** Fail where the guest's file systems cannot be frozen for the moment of the copy. */
      quiesce: Type.Enum(['required', 'possible']),
    }),
    output: Type.Object({
      sizeBytes: Type.Integer(),
      virtualSizeBytes: Type.Integer(),
      live: Type.Boolean(),
      quiesced: Type.Boolean(),
    }),
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
  offerConsole: {
    kind: 'call',
    timeout: 'fast',
    input: Type.Object({ serverId: Id, kind: Type.Enum(['vnc', 'serial']) }),
    output: Type.Object({ offer: Offer }),
    doc: 'Offers the stream of a guest’s screen or serial line, named as its kind, until `withdrawOffer`, or nobody has come for a while.',
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
    input: Type.Object({
      serverId: Id,
      /** Only when what is being done with the guest has ended, also what nobody waits for any more. */
      inTurn: Type.Optional(Type.Boolean()),
    }),
    output: GuestStatus,
    doc: 'What the guest does now, as the hypervisor says.',
  },
  setPassword: {
    kind: 'call',
    timeout: 'normal',
    input: Type.Object({ serverId: Id, user: Type.String(), password: Type.String() }),
    output: Nothing,
    doc: 'Sets the password of a user in the guest, through its agent.',
  },
  injectNmi: {
    kind: 'call',
    timeout: 'normal',
    input: OneServer,
    output: Nothing,
    doc: 'Interrupts the guest’s kernel, which dumps its memory if it was set up for that.',
  },
});
