/** What operations ask of the agent that has the server's guest. Each may be repeated. */
import type { computeContract } from '#contracts/compute.ts';
import type { GuestStatus } from '#contracts/guest.ts';
import { CloudError } from '#domain/errors.ts';
import type { Asks, Context } from './ports.ts';

/** The agent of the host that the server is on. Throws `instanceNotReady` when it is on none. */
export async function agentOf({ ports, serverId }: Context): Promise<Asks<typeof computeContract>> {
  const host = await ports.servers.hostOf(serverId);
  if (host === null) throw new CloudError('instanceNotReady', { id: serverId });
  return ports.compute(host);
}

/** Lets it execute: boot, or go on where it was. Answers when it began, in epoch ms. */
export async function startGuest(context: Context): Promise<{ startedAt: number }> {
  const { serverId, key, signal } = context;
  return (await agentOf(context)).startGuest({ serverId }, { key, signal });
}

/** Asks it to power off and ends it after the grace; 0 ends it at once. */
export async function stopGuest(context: Context, graceMs: number): Promise<void> {
  const { serverId, key, signal } = context;
  await (await agentOf(context)).stopGuest({ serverId, graceMs }, { key: `${key}/stop`, signal });
}

/** A new process on its own disks, whatever the old one did. */
export async function restartGuest(context: Context): Promise<void> {
  await stopGuest(context, 0);
  // One that is rescued although the record says otherwise would go on with the wrong disk.
  await endRescue(context);
  await startGuest(context);
}

/** Does something only to a guest that is in one of these states: taking back must not do more than was done. */
export async function onlyIf(
  context: Context,
  states: readonly GuestStatus['state'][],
  work: (context: Context) => Promise<unknown>,
): Promise<void> {
  const { serverId, signal } = context;
  const { state } = await (await agentOf(context)).inspectGuest({ serverId, inTurn: true }, { signal });
  if (states.includes(state)) await work(context);
}

/** Takes back what replaced its disk; it must not run. */
export async function revertGuest(context: Context): Promise<void> {
  const { serverId, signal } = context;
  await (await agentOf(context)).revertGuest({ serverId }, { signal });
}

/** Takes back its rescue, if it is rescued; it must not run. */
export async function endRescue(context: Context): Promise<void> {
  const { serverId, signal } = context;
  await (await agentOf(context)).revertGuest({ serverId, onlyRescue: true }, { signal });
}
