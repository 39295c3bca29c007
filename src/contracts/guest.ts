/** Shapes that more than one contract uses. Sizes say their unit. */
import { type Static, Type } from 'typebox';

export const Id = Type.String({ minLength: 1, maxLength: 64 });

export const Resources = Type.Object({
  vcpus: Type.Integer({ minimum: 1 }),
  memoryMib: Type.Integer({ minimum: 1 }),
  diskGib: Type.Integer({ minimum: 0 }),
});

export const Nic = Type.Object({ mac: Type.String({ pattern: '^([0-9a-f]{2}:){5}[0-9a-f]{2}$' }) });

/**
 * Files of a config drive: path inside the drive → content, which is text, or base64 of bytes that need not be text (a
 * message is JSON).
 */
export const ConfigDrive = Type.Record(
  Type.String(),
  Type.Union([Type.String(), Type.Object({ base64: Type.String() })]),
);
export type ConfigDrive = Static<typeof ConfigDrive>;

export const GuestStateName = Type.Enum(['absent', 'stopped', 'running', 'paused', 'crashed']);

export const Nothing = Type.Object({});
