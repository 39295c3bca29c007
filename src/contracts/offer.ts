/** What one agent tells another, over the bus, about things that it may fetch: where, and the key that both sides must know. */
import { type Static, Type } from 'typebox';
import { ConfigDrive, Nic } from './guest.ts';

export const Offer = Type.Object({
  address: Type.String(),
  port: Type.Integer({ minimum: 1, maximum: 65535 }),
  /** Names the offer in the handshake; no secret. */
  id: Type.String(),
  /** 32 bytes in base64: known to the two agents and to whoever hands it over, and to nobody for longer than the offer lasts. */
  key: Type.String(),
});
export type Offer = Static<typeof Offer>;

const Disk = Type.Object({
  name: Type.String(),
  /** Name of the base's file among those that are offered, and the image that it is. */
  base: Type.String(),
  baseFormat: Type.Enum(['qcow2', 'raw']),
  sizeBytes: Type.Integer(),
});

/** A file that the offering agent has just put beside the disks: who finds it sees the same storage, and needs no copy. */
export const SharedDisksProof = Type.Object({ file: Type.String(), content: Type.String(), host: Type.String() });

/** A guest that is held out to another agent. */
export const OfferedGuest = Type.Object({
  name: Type.String(),
  nics: Type.Array(Nic),
  configDrive: Type.Union([ConfigDrive, Type.Null()]),
  guestAgent: Type.Boolean(),
  /** The one it boots from first. */
  disks: Type.Array(Disk, { minItems: 1 }),
  files: Type.Array(Type.Object({ name: Type.String(), sizeBytes: Type.Integer() })),
  sharedDisks: Type.Optional(SharedDisksProof),
});
export type OfferedGuest = Static<typeof OfferedGuest>;

/** One that moves while it executes, and must be the same on both sides. */
export const OfferedLiveGuest = Type.Object({
  ...OfferedGuest.properties,
  vcpus: Type.Integer({ minimum: 1 }),
  memoryMib: Type.Integer({ minimum: 1 }),
});
export type OfferedLiveGuest = Static<typeof OfferedLiveGuest>;
