/**
 * Migrate and resize: a server goes to another host, gets another flavor, or both, while it does not run.
 *
 * The scheduler claims the room where it goes, and what it holds is kept. The guest is shut off and its disks go from agent to
 * agent; what they were copied from stays as it is, stopped, until the move is confirmed. So the way back is open until then,
 * also when anything fails: the copy goes, and the server runs where it ran. Disks on storage that both hosts see stay where they
 * are, and belong to the new host until the way back is taken. With one host only, or where the scheduler finds
 * nothing better, a resize stays on the host: then the guest runs from a copy of its disk, and the old one is kept.
 */
import { ColdMoveInput, VERSIONS } from '#contracts/operation-inputs.ts';
import { POWER_STATES } from '#domain/instance/states.ts';
import { destroyGuest, resourcesOf, wishesOf } from './placement.ts';
import { type Context, defineOperation, HOURS, shutdownDeadlineMs } from './ports.ts';

export const resize = coldMove('resize');
export const migrate = coldMove('migrate');

function coldMove(kind: 'resize' | 'migrate') {
  return defineOperation(kind, { version: VERSIONS[kind], input: ColdMoveInput })
    .step('schedule', {
      doc: 'Picks a host and claims the room on it; what the server holds is kept.',
      task: 'resize_prep',
      do: ({ ports, serverId, input, key, signal }) => {
        const { imageProperties, from, mayStay, newFlavor } = input;
        const wishes = { ...wishesOf(input), extraSpecs: newFlavor.extraSpecs };
        const move = { from, mayStay };
        return ports.scheduler.claimHost(
          { serverId, resources: resourcesOf(newFlavor), imageProperties, ...wishes, move },
          { key, signal },
        );
      },
      record: ({ host }) => ({ migration: { status: 'pre-migrating', destHost: host } }),
      undo: async ({ ports, serverId, signal }) => {
        await ports.scheduler.revertMove({ serverId }, { signal });
      },
    })
    .step('stopGuest', {
      doc: 'Shuts the guest off.',
      task: 'resize_migrating',
      deadlineMs: shutdownDeadlineMs,
      do: async ({ ports, serverId, input, key, signal }) => {
        await ports.compute(input.from).stopGuest({ serverId, graceMs: input.graceMs }, { key, signal });
      },
      record: () => ({ powerState: POWER_STATES.shutdown, migration: { status: 'migrating' } }),
      undo: async ({ ports, serverId, input, key, signal }) => {
        if (input.wasRunning) await ports.compute(input.from).startGuest({ serverId }, { key: `${key}/undo`, signal });
      },
      unrecord: ({ input }) => (input.wasRunning ? { powerState: POWER_STATES.running } : {}),
    })
    .step('copyGuest', {
      doc: 'Copies the disks to the new host, or beside the old ones, and grows them.',
      deadlineMs: HOURS,
      do: async (context) => {
        const { host } = context.outputs.schedule;
        await (host === context.input.from ? copyHere(context) : copyTo(context, host));
      },
      undo: async (context) => {
        const { ports, outputs, serverId, input, signal } = context;
        const { host } = outputs.schedule;
        if (host === input.from) await ports.compute(host).revertGuest({ serverId }, { signal });
        else await destroyGuest(context, host, { disksTo: input.from });
      },
    })
    .step('moveRecord', {
      doc: 'Says that the server is on the new host, with the new flavor.',
      task: 'resize_migrated',
      do: async ({ outputs }) => outputs.schedule,
      record: ({ host, availabilityZone }, { input }) => ({
        host,
        availabilityZone,
        changes: { flavor: input.newFlavor, diskConfig: input.newDiskConfig },
        migration: { status: 'post-migrating' },
      }),
      unrecord: ({ input }) => ({
        host: input.from,
        availabilityZone: input.availabilityZone,
        changes: { flavor: input.oldFlavor, diskConfig: input.oldDiskConfig },
      }),
    })
    .step('startGuest', {
      doc: 'Boots the guest there, unless it was shut off.',
      task: 'resize_finish',
      do: async ({ ports, outputs, serverId, input, key, signal }) => {
        const agent = ports.compute(outputs.schedule.host);
        return input.wasRunning ? (await agent.startGuest({ serverId }, { key, signal })).startedAt : null;
      },
      record: (startedAt, { now }) => ({
        ...(startedAt !== null && { powerState: POWER_STATES.running, launchedAt: now }),
        migration: { status: 'finished' },
      }),
      undo: async ({ ports, outputs, serverId, key, signal }) => {
        const agent = ports.compute(outputs.schedule.host);
        await agent.stopGuest({ serverId, graceMs: 0 }, { key: `${key}/undo`, signal });
      },
    });
}

type Moving = Context<ColdMoveInput, object>;

/** On the host where it is; named after the operation, so that a repeat finds what it made. */
async function copyHere({ ports, serverId, operationId, input, key, signal, onProgress }: Moving): Promise<void> {
  const resources = resourcesOf(input.newFlavor);
  await ports
    .compute(input.from)
    .resizeGuest({ serverId, diskName: `disk-${operationId}`, resources }, { key, signal, onProgress });
}

/** From agent to agent. The key of the channel goes through here and is written down nowhere. */
async function copyTo({ ports, serverId, input, key, signal, onProgress }: Moving, host: string): Promise<void> {
  const source = ports.compute(input.from);
  const { offer, guest } = await source.offerGuest({ serverId, mayShare: true }, { signal });
  try {
    const resources = resourcesOf(input.newFlavor);
    await ports.compute(host).receiveGuest({ serverId, offer, guest, resources }, { key, signal, onProgress });
  } finally {
    // Nobody waits for it; what is not withdrawn ends by itself.
    await source.withdrawOffer({ offerId: offer.id }).catch(() => undefined);
  }
}
