/** Shapes that more than one contract uses. Sizes say their unit. */
import { type Static, Type } from 'typebox';

export const Id = Type.String({ minLength: 1, maxLength: 64 });

export const Resources = Type.Object({
  vcpus: Type.Integer({ minimum: 1 }),
  memoryMib: Type.Integer({ minimum: 1 }),
  diskGib: Type.Integer({ minimum: 0 }),
});

export const Mac = Type.String({ pattern: '^([0-9a-f]{2}:){5}[0-9a-f]{2}$' });

/** A guest's network card. */
export const Nic = Type.Object({
  mac: Mac,
  /** The port it is the guest's end of; one without is alone in a network of its own. */
  portId: Type.Optional(Id),
  /** The largest packet of the port's network, in bytes. */
  mtu: Type.Optional(Type.Integer({ minimum: 68, maximum: 65_535 })),
  /** Where in the guest's machine it is, once it is there. */
  slot: Type.Optional(Type.Integer({ minimum: 0 })),
});
export type Nic = Static<typeof Nic>;

/**
 * Files of a config drive: path inside the drive → content, which is text, or base64 of bytes that need not be text (a
 * message is JSON).
 */
export const ConfigDrive = Type.Record(
  Type.String(),
  Type.Union([Type.String(), Type.Object({ base64: Type.String() })]),
);
export type ConfigDrive = Static<typeof ConfigDrive>;

export const GuestStateName = Type.Enum(['absent', 'stopped', 'running', 'paused', 'suspended', 'crashed']);

/** What a host says of a guest. */
export const GuestStatus = Type.Object({
  state: GuestStateName,
  /** Why it is paused or crashed, where nobody asked for that. */
  reason: Type.Union([Type.String(), Type.Null()]),
  /** It ran when the host went down, and has not been started since. */
  lostWithHost: Type.Boolean(),
  /** What is missing of its files; such a guest can never be started again. */
  damage: Type.Union([Type.String(), Type.Null()]),
  /** The host that may let it execute, where its disks lie on storage that hosts share. */
  disksHeldBy: Type.Optional(Type.String()),
});
export type GuestStatus = Static<typeof GuestStatus>;

/** Guests found on a host, in whatever state. */
export const GuestsFound = Type.Array(
  Type.Object({ serverId: Id, state: GuestStateName, isDamaged: Type.Optional(Type.Boolean()) }),
);
export type GuestsFound = Static<typeof GuestsFound>;

export const Nothing = Type.Object({});
