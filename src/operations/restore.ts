/** Restore: a soft-deleted server lives again. */
import { NoInput, VERSIONS } from '#contracts/operation-inputs.ts';
import { POWER_STATES } from '#domain/instance/states.ts';
import { startGuest, stopGuest } from './guest.ts';
import { defineOperation } from './ports.ts';

export const restore = defineOperation('restore', { version: VERSIONS.restore, input: NoInput }).step('startGuest', {
  doc: 'Boots the guest.',
  task: 'restoring',
  do: startGuest,
  record: () => ({ powerState: POWER_STATES.running, softDeletedAt: null }),
  undo: (context) => stopGuest(context, 0),
});
