/**
 * Suspend and resume: the guest's memory goes to the host's disk and its process ends, so that it holds no memory and
 * survives a restart of the host; resumed it goes on where it was.
 */
import { NoInput, VERSIONS } from '#contracts/operation-inputs.ts';
import { POWER_STATES } from '#domain/instance/states.ts';
import { agentOf, onlyIf, startGuest } from './guest.ts';
import { type Context, defineOperation, HOURS } from './ports.ts';

export const suspend = defineOperation('suspend', { version: VERSIONS.suspend, input: NoInput }).step('suspendGuest', {
  doc: 'Writes the guest’s memory to disk and ends QEMU.',
  task: 'suspending',
  deadlineMs: HOURS,
  do: suspendGuest,
  // As libvirt does, whose suspended guests are shut off to it.
  record: () => ({ powerState: POWER_STATES.shutdown }),
  undo: (context) => onlyIf(context, ['paused', 'suspended'], startGuest),
});

export const resume = defineOperation('resume', { version: VERSIONS.resume, input: NoInput }).step('startGuest', {
  doc: 'Starts QEMU with the memory from disk.',
  task: 'resuming',
  deadlineMs: HOURS,
  do: startGuest,
  record: () => ({ powerState: POWER_STATES.running }),
  undo: (context) => onlyIf(context, ['running', 'paused'], suspendGuest),
});

async function suspendGuest(context: Context): Promise<void> {
  const { serverId, key, signal, onProgress } = context;
  await (await agentOf(context)).suspendGuest({ serverId }, { key, signal, onProgress });
}
