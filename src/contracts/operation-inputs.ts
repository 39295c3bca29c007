/**
 * What an api hands a conductor with an operation: the input of each kind, and the version of the definition that it is
 * made for. It crosses from one process to another inside the operation's row.
 */
import { type Static, Type } from 'typebox';
import type { OperationKind } from '#domain/operation/operation.ts';
import { ConfigDrive, Id, Nic, Resources } from './guest.ts';

const NullableText = Type.Union([Type.String(), Type.Null()]);

/** What a host needs to make the guest. */
const GuestInput = {
  name: Type.String(),
  imageId: Id,
  imageProperties: Type.Record(Type.String(), Type.String()),
  resources: Resources,
  nics: Type.Array(Nic),
  /** Files of the config drive without the password, which is a secret; null for no drive. */
  configDrive: Type.Union([ConfigDrive, Type.Null()]),
  guestAgent: Type.Boolean(),
};

/** Where it may run. */
const Placement = {
  availabilityZone: NullableText,
  /** Only this host will do; an administrator's wish. */
  host: NullableText,
  /** The group whose policy the choice of a host obeys. */
  serverGroupId: Type.Optional(NullableText),
  /** Of the flavor; some ask for certain hosts. */
  extraSpecs: Type.Optional(Type.Record(Type.String(), Type.String())),
  /** Servers on whose hosts it shall not be. */
  differentHost: Type.Optional(Type.Array(Type.String())),
  /** Servers with one of which it shall share a host. */
  sameHost: Type.Optional(Type.Array(Type.String())),
};

export const LaunchInput = Type.Object({ ...GuestInput, ...Placement });
export type LaunchInput = Static<typeof LaunchInput>;

export const EvacuateInput = Type.Object({
  ...GuestInput,
  ...Placement,
  /** The dead host. */
  from: Type.String(),
  /** It shall run afterwards. */
  run: Type.Boolean(),
});
export type EvacuateInput = Static<typeof EvacuateInput>;

export const LiveMigrateInput = Type.Object({
  ...Placement,
  imageProperties: Type.Record(Type.String(), Type.String()),
  resources: Resources,
  from: Type.String(),
  /** Else it is paused, and stays so. */
  wasRunning: Type.Boolean(),
});
export type LiveMigrateInput = Static<typeof LiveMigrateInput>;

/** How long a guest that is asked to power off may take. */
const Grace = { graceMs: Type.Integer({ minimum: 0 }) };

export const StopInput = Type.Object({ ...Grace, wasRunning: Type.Boolean() });
export type StopInput = Static<typeof StopInput>;

export const RebootInput = Type.Object(Grace);
export type RebootInput = Static<typeof RebootInput>;

const NewImage = {
  /** Chosen by the api, so that the image's address is known before it exists. */
  imageId: Id,
  name: Type.String(),
  minDiskGib: Type.Integer(),
  minRamMib: Type.Integer(),
  properties: Type.Record(Type.String(), Type.String()),
  quiesce: Type.Enum(['required', 'possible']),
};

export const SnapshotInput = Type.Object(NewImage);
export type SnapshotInput = Static<typeof SnapshotInput>;

export const BackupInput = Type.Object({
  ...NewImage,
  backupType: Type.String(),
  /** How many backups of that type are kept; the oldest go. */
  rotation: Type.Integer({ minimum: 0 }),
});
export type BackupInput = Static<typeof BackupInput>;

export const ShelveInput = Type.Object({
  ...NewImage,
  ...Grace,
  wasRunning: Type.Boolean(),
  /** Leave the host at once. */
  offload: Type.Boolean(),
});
export type ShelveInput = Static<typeof ShelveInput>;

export const UnshelveInput = Type.Object({
  ...GuestInput,
  ...Placement,
  /** Its disk is only in the image; else it is on its host still. */
  isOffloaded: Type.Boolean(),
});
export type UnshelveInput = Static<typeof UnshelveInput>;

export const RescueInput = Type.Object({ ...Grace, wasRunning: Type.Boolean(), imageId: Id, configDrive: ConfigDrive });
export type RescueInput = Static<typeof RescueInput>;

/** Facts of a server that a rebuild may change together with its disk. */
const ServerChanges = Type.Object({
  imageId: Type.Optional(Id),
  imageProperties: Type.Optional(Type.Record(Type.String(), Type.String())),
  name: Type.Optional(Type.String()),
  hostname: Type.Optional(Type.String()),
  description: Type.Optional(NullableText),
  metadata: Type.Optional(Type.Record(Type.String(), Type.String())),
  keyName: Type.Optional(NullableText),
  publicKey: Type.Optional(NullableText),
  userData: Type.Optional(NullableText),
  diskConfig: Type.Optional(Type.Enum(['AUTO', 'MANUAL'])),
  accessIpV4: Type.Optional(Type.String()),
  accessIpV6: Type.Optional(Type.String()),
});

export const RebuildInput = Type.Object({
  ...Grace,
  /** It ran before; taken back, it runs again. */
  wasRunning: Type.Boolean(),
  /** It shall run afterwards. */
  run: Type.Boolean(),
  imageId: Id,
  diskGib: Type.Integer({ minimum: 0 }),
  configDrive: Type.Union([ConfigDrive, Type.Null()]),
  guestAgent: Type.Boolean(),
  changes: ServerChanges,
});
export type RebuildInput = Static<typeof RebuildInput>;

const Flavor = Type.Object({
  id: Type.String(),
  name: Type.String(),
  vcpus: Type.Integer(),
  memoryMib: Type.Integer(),
  diskGib: Type.Integer(),
  ephemeralGib: Type.Integer(),
  swapMib: Type.Integer(),
  extraSpecs: Type.Record(Type.String(), Type.String()),
});

const DiskConfig = Type.Enum(['AUTO', 'MANUAL']);

export const ColdMoveInput = Type.Object({
  ...Grace,
  ...Placement,
  imageProperties: Type.Record(Type.String(), Type.String()),
  wasRunning: Type.Boolean(),
  /** Where it is, and whether it may stay there with another flavor. */
  from: Type.String(),
  mayStay: Type.Boolean(),
  oldFlavor: Flavor,
  newFlavor: Flavor,
  oldDiskConfig: DiskConfig,
  newDiskConfig: DiskConfig,
});
export type ColdMoveInput = Static<typeof ColdMoveInput>;

/** What became of a move that its owner confirms or reverts. */
export const MovedInput = Type.Object({
  from: Type.String(),
  to: Type.String(),
  /** It runs now. */
  wasRunning: Type.Boolean(),
  /** It shall run afterwards. */
  run: Type.Boolean(),
  ...Grace,
  oldFlavor: Flavor,
});
export type MovedInput = Static<typeof MovedInput>;

/** A card that comes or goes, and the port it is the end of. */
export const InterfaceInput = Type.Object({ nic: Nic });
export type InterfaceInput = Static<typeof InterfaceInput>;

export const NoInput = Type.Object({});

/** Raised whenever the steps of a definition change; an operation of another version is not touched. */
export const VERSIONS = {
  create: 2,
  delete: 4,
  forceDelete: 3,
  softDelete: 1,
  restore: 1,
  start: 1,
  stop: 1,
  forceStop: 1,
  reboot: 1,
  hardReboot: 1,
  pause: 1,
  unpause: 1,
  suspend: 1,
  resume: 1,
  rescue: 1,
  unrescue: 1,
  rebuild: 1,
  shelve: 1,
  shelveOffload: 1,
  unshelve: 1,
  createImage: 2,
  createBackup: 1,
  changePassword: 1,
  resize: 1,
  migrate: 1,
  confirmResize: 1,
  revertResize: 1,
  evacuate: 1,
  liveMigrate: 1,
  attachInterface: 1,
  detachInterface: 1,
} as const satisfies Record<OperationKind, number>;

/** The step of a snapshot after which its image can be seen; the api answers 202 then. */
export const RESERVE_IMAGE = 'reserveImage';

/** The name of the secret that becomes a user's password in the guest. */
export const ADMIN_PASS = 'adminPass';
