/** Pause and unpause: the guest's processors stop and go on; its memory stays where it is. */
import { NoInput, VERSIONS } from '#contracts/operation-inputs.ts';
import { POWER_STATES } from '#domain/instance/states.ts';
import { agentOf, onlyIf, startGuest } from './guest.ts';
import { type Context, defineOperation } from './ports.ts';

export const pause = defineOperation('pause', { version: VERSIONS.pause, input: NoInput }).step('pauseGuest', {
  doc: 'Stops the guest’s processors.',
  task: 'pausing',
  do: pauseGuest,
  record: () => ({ powerState: POWER_STATES.paused }),
  undo: (context) => onlyIf(context, ['paused'], startGuest),
});

export const unpause = defineOperation('unpause', { version: VERSIONS.unpause, input: NoInput }).step('startGuest', {
  doc: 'Lets the guest’s processors go on.',
  task: 'unpausing',
  do: startGuest,
  record: () => ({ powerState: POWER_STATES.running }),
  undo: (context) => onlyIf(context, ['running'], pauseGuest),
});

async function pauseGuest(context: Context): Promise<void> {
  const { serverId, key, signal } = context;
  await (await agentOf(context)).pauseGuest({ serverId }, { key, signal });
}
