/** From a request to a guest's files on a host, and back: what a launch, a shelving and an unshelving have in common. */
import type { ColdMoveInput, LaunchInput } from '#contracts/operation-inputs.ts';
import { withPassword } from './config-drive.ts';
import type { Context } from './ports.ts';

/** Has the scheduler pick a host and claim the room on it; a server that has a claim keeps it, and one that moves both. */
export function claimHost(
  { ports, serverId, input, key, signal }: Context<LaunchInput>,
  move?: { readonly from: string; readonly mayStay: boolean },
) {
  const { resources, imageProperties } = input;
  return ports.scheduler.claimHost(
    { serverId, resources, imageProperties, ...wishesOf(input), ...(move && { move }) },
    { key, signal },
  );
}

/** Where it may run, as the request said. */
export function wishesOf(
  input: Pick<LaunchInput, 'availabilityZone' | 'host' | 'serverGroupId' | 'extraSpecs' | 'differentHost' | 'sameHost'>,
) {
  const { availabilityZone, host, serverGroupId = null, extraSpecs = {}, differentHost = [], sameHost = [] } = input;
  return { availabilityZone, host, serverGroupId, extraSpecs, differentHost, sameHost };
}

/** What a flavor asks of a host. */
export function resourcesOf({ vcpus, memoryMib, diskGib }: ColdMoveInput['newFlavor']) {
  return { vcpus, memoryMib, diskGib };
}

/** Gives the claim back. None: nothing. */
export async function releaseHost({ ports, serverId, signal }: Context): Promise<void> {
  await ports.scheduler.releaseHost({ serverId }, { signal });
}

/** Makes the guest's files on the host, its image fetched before. */
export async function createGuest(
  context: Context<LaunchInput>,
  host: string,
  disks: { readonly disksOf?: string } = {},
): Promise<void> {
  const { ports, input, secrets, serverId, key, signal, onProgress } = context;
  const { name, imageId, resources, nics, guestAgent } = input;
  const { vcpus, memoryMib, diskGib } = resources;
  const configDrive = withPassword(input.configDrive, secrets);
  const guest = { serverId, name, imageId, vcpus, memoryMib, diskGib, nics, configDrive, guestAgent, ...disks };
  await ports.compute(host).createGuest(guest, { key, signal, onProgress });
}

/** Process and files gone. Absent: nothing. */
export async function destroyGuest(
  { ports, serverId, signal }: Context,
  host: string,
  disks: { readonly disksTo?: string } = {},
): Promise<void> {
  await ports.compute(host).destroyGuest({ serverId, ...disks }, { signal });
}

/** Disks on storage that hosts share are this host's again, which does not need the other one for that. Others: nothing. */
export async function regainDisks({ ports, serverId, signal }: Context, host: string, from: string): Promise<void> {
  const agent = ports.compute(host);
  const { disksHeldBy = host } = await agent.inspectGuest({ serverId }, { signal });
  if (disksHeldBy === from) await agent.takeDisks({ serverId, from }, { signal });
}
