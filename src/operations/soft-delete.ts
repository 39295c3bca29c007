/**
 * Soft delete: where the cloud reclaims late, a deleted server is only switched off, and `restore` brings it back until
 * the reclaiming ends it for good. What is in flight is ended first, as by any deletion.
 */
import { StopInput, VERSIONS } from '#contracts/operation-inputs.ts';
import { POWER_STATES } from '#domain/instance/states.ts';
import { endRescue, stopGuest } from './guest.ts';
import { defineOperation, PREEMPT_DEADLINE_MS, shutdownDeadlineMs } from './ports.ts';

export const softDelete = defineOperation('softDelete', { version: VERSIONS.softDelete, input: StopInput })
  .step('preempt', {
    doc: 'Ends whatever else is going on with the server.',
    task: 'soft-deleting',
    pointOfNoReturn: true,
    deadlineMs: PREEMPT_DEADLINE_MS,
    do: ({ ports, serverId, operationId, signal }) => ports.servers.preempt(serverId, operationId, signal),
  })
  .step('stopGuest', {
    doc: 'Switches the guest off; its disk stays.',
    deadlineMs: shutdownDeadlineMs,
    do: (context) => stopGuest(context, context.input.graceMs),
  })
  .step('endRescue', {
    doc: 'Takes a rescue disk away: restored, the server boots from its own.',
    do: endRescue,
    record: (_, { now }) => ({ powerState: POWER_STATES.shutdown, softDeletedAt: now }),
  });
