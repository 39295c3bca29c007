/**
 * Reboot, soft: the guest is asked to shut down in order and boots again, in the same process. One that does not listen
 * gets a new process, as by a hard reboot.
 */
import { RebootInput, VERSIONS } from '#contracts/operation-inputs.ts';
import { POWER_STATES } from '#domain/instance/states.ts';
import { agentOf, restartGuest, startGuest } from './guest.ts';
import { defineOperation, shutdownDeadlineMs } from './ports.ts';

export const reboot = defineOperation('reboot', { version: VERSIONS.reboot, input: RebootInput })
  .step('askGuest', {
    doc: 'Presses the power button; when the guest has shut down, boots it again.',
    task: 'rebooting',
    deadlineMs: shutdownDeadlineMs,
    do: async (context) => {
      const { serverId, input, key, signal } = context;
      const { rebooted } = await (await agentOf(context)).rebootGuest(
        { serverId, graceMs: input.graceMs },
        { key, signal },
      );
      return { rebooted };
    },
    // It may have got as far as shutting down.
    undo: async (context) => void (await startGuest(context)),
  })
  .step('forceReboot', {
    doc: 'Gives a guest that did not listen a new process.',
    task: 'reboot_started',
    do: async (context) => {
      if (!context.outputs.askGuest.rebooted) await restartGuest(context);
    },
    record: () => ({ powerState: POWER_STATES.running }),
  });
