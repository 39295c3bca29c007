/**
 * Shut off (`os-stop`): the guest is asked by the power button and has time to write its files; after that its process is
 * ended. A forced one gives no time, and is stronger than one that waits.
 */
import { StopInput, VERSIONS } from '#contracts/operation-inputs.ts';
import { POWER_STATES } from '#domain/instance/states.ts';
import { startGuest, stopGuest } from './guest.ts';
import { type Context, defineOperation, PREEMPT_DEADLINE_MS, shutdownDeadlineMs } from './ports.ts';

const switchOff = {
  doc: 'Presses the power button, waits for the guest, then ends QEMU.',
  task: 'powering-off',
  deadlineMs: shutdownDeadlineMs,
  do: (context: Context<StopInput>) => stopGuest(context, context.input.graceMs),
  record: () => ({ powerState: POWER_STATES.shutdown }),
  undo: async (context: Context<StopInput>) => {
    if (context.input.wasRunning) await startGuest(context);
  },
} as const;

export const stop = defineOperation('stop', { version: VERSIONS.stop, input: StopInput }).step('stopGuest', switchOff);

export const forceStop = defineOperation('forceStop', { version: VERSIONS.forceStop, input: StopInput })
  .step('preempt', {
    doc: 'Ends a shutting off or reboot that waits for the guest.',
    task: 'powering-off',
    deadlineMs: PREEMPT_DEADLINE_MS,
    do: ({ ports, serverId, operationId, signal }) => ports.servers.preempt(serverId, operationId, signal),
  })
  .step('stopGuest', switchOff);
