/**
 * Reboot, hard: a new QEMU process on the same disks, whatever the old one did; also from SHUTOFF, PAUSED, SUSPENDED and
 * ERROR. It is stronger than a soft reboot, a pause or a suspension that has not come to its end.
 */
import { NoInput, VERSIONS } from '#contracts/operation-inputs.ts';
import { POWER_STATES } from '#domain/instance/states.ts';
import { restartGuest } from './guest.ts';
import { defineOperation, PREEMPT_DEADLINE_MS } from './ports.ts';

export const hardReboot = defineOperation('hardReboot', { version: VERSIONS.hardReboot, input: NoInput })
  .step('preempt', {
    doc: 'Ends a weaker operation that is going on with the server.',
    task: 'rebooting_hard',
    deadlineMs: PREEMPT_DEADLINE_MS,
    do: ({ ports, serverId, operationId, signal }) => ports.servers.preempt(serverId, operationId, signal),
  })
  .step('restartGuest', {
    doc: 'Ends QEMU at once and starts a new one.',
    task: 'reboot_started_hard',
    do: restartGuest,
    record: () => ({ powerState: POWER_STATES.running }),
  });
