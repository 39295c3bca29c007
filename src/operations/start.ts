/** Start (`os-start`): a server that is shut off boots. */
import { NoInput, VERSIONS } from '#contracts/operation-inputs.ts';
import { POWER_STATES } from '#domain/instance/states.ts';
import { startGuest, stopGuest } from './guest.ts';
import { defineOperation } from './ports.ts';

export const start = defineOperation('start', { version: VERSIONS.start, input: NoInput }).step('startGuest', {
  doc: 'Starts QEMU on the server’s disk.',
  task: 'powering-on',
  do: startGuest,
  record: () => ({ powerState: POWER_STATES.running }),
  undo: (context) => stopGuest(context, 0),
});
