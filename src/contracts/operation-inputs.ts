/**
 * What an api hands a conductor with an operation: the input of each kind, and the version of the definition that it is
 * made for. It crosses from one process to another inside the operation's row.
 */
import { type Static, Type } from 'typebox';
import { ConfigDrive, Id, Nic, Resources } from './guest.ts';

export const LaunchInput = Type.Object({
  name: Type.String(),
  imageId: Id,
  imageProperties: Type.Record(Type.String(), Type.String()),
  resources: Resources,
  nics: Type.Array(Nic),
  availabilityZone: Type.Union([Type.String(), Type.Null()]),
  /** Only this host will do; an administrator's wish. */
  host: Type.Union([Type.String(), Type.Null()]),
  /** Files of the config drive without the password, which is a secret; null for no drive. */
  configDrive: Type.Union([ConfigDrive, Type.Null()]),
});
export type LaunchInput = Static<typeof LaunchInput>;

export const SnapshotInput = Type.Object({
  /** Chosen by the api, so that the image's address is known before it exists. */
  imageId: Id,
  name: Type.String(),
  minDiskGib: Type.Integer(),
  minRamMib: Type.Integer(),
  properties: Type.Record(Type.String(), Type.String()),
});
export type SnapshotInput = Static<typeof SnapshotInput>;

export const TerminateInput = Type.Object({});

/** Raised whenever the steps of a definition change; an operation of another version is not touched. */
export const VERSIONS = { create: 1, createImage: 1, delete: 1 } as const;

/** The step of a snapshot after which its image can be seen; the api answers 202 then. */
export const RESERVE_IMAGE = 'reserveImage';
