/**
 * Evacuate: a server whose host is dead lives again on another one.
 *
 * Its disk died with the host, so it boots from its image anew: same id, name, addresses, flavor and keys. A disk on storage that the
 * new host sees is kept, and belongs to that host from before the record says so. Only a host that is
 * silent or that an operator has declared dead is left like this, and it is looked at again before the server is given away. From
 * the moment in which the record says so the old guest is nobody's: the old host removes it when it comes back.
 */
import { EvacuateInput, VERSIONS } from '#contracts/operation-inputs.ts';
import { CloudError } from '#domain/errors.ts';
import { POWER_STATES } from '#domain/instance/states.ts';
import { claimHost, createGuest, destroyGuest } from './placement.ts';
import { type Context, defineOperation, HOURS, PREEMPT_DEADLINE_MS } from './ports.ts';

export const evacuate = defineOperation('evacuate', { version: VERSIONS.evacuate, input: EvacuateInput })
  .step('checkHost', {
    doc: 'Makes sure that the host is down, and gives up what waits there for a person.',
    task: 'rebuilding',
    deadlineMs: PREEMPT_DEADLINE_MS,
    do: async (context) => {
      await requireDown(context);
      const { ports, serverId, operationId, signal } = context;
      await ports.servers.preempt(serverId, operationId, signal);
    },
  })
  .step('schedule', {
    doc: 'Picks another host and claims the room on it.',
    do: (context) => claimHost(context, { from: context.input.from, mayStay: false }),
    record: ({ host }) => ({ migration: { status: 'pre-migrating', destHost: host } }),
    undo: async ({ ports, serverId, signal }) => {
      await ports.scheduler.revertMove({ serverId }, { signal });
    },
  })
  .step('createGuest', {
    doc: 'Makes the guest’s disk from its image, unless it is on storage that the new host sees, and its config drive.',
    task: 'rebuild_block_device_mapping',
    deadlineMs: HOURS,
    do: (context) => createGuest(context, context.outputs.schedule.host, { disksOf: context.input.from }),
    undo: (context) => destroyGuest(context, context.outputs.schedule.host, { disksTo: context.input.from }),
  })
  .step('moveRecord', {
    doc: 'Says that the server is on the new host, unless the old one came back; from here on there is no way back.',
    pointOfNoReturn: true,
    do: async (context) => {
      await requireDown(context);
      return context.outputs.schedule;
    },
    record: ({ host, availabilityZone }) => ({ host, availabilityZone, migration: { status: 'done' } }),
  })
  .step('startGuest', {
    doc: 'Boots the guest, unless it was shut off.',
    task: 'rebuild_spawning',
    do: async ({ ports, outputs, serverId, input, key, signal }) => {
      if (input.run) await ports.compute(outputs.schedule.host).startGuest({ serverId }, { key, signal });
    },
    record: (_, { input, now }) => ({
      powerState: input.run ? POWER_STATES.running : POWER_STATES.shutdown,
      ...(input.run && { launchedAt: now }),
    }),
  })
  .step('settleMove', {
    doc: 'Gives the room on the dead host back.',
    do: async ({ ports, serverId, key, signal }) => {
      await ports.scheduler.settleMove({ serverId }, { key, signal });
    },
    record: (_, { input }) => ({ vmState: input.run ? 'active' : 'stopped' }),
  });

async function requireDown({ ports, input }: Context<EvacuateInput>): Promise<void> {
  if (!(await ports.servers.isHostUp(input.from))) return;
  throw new CloudError('conflict', { reason: `Host ${input.from} is up again: its servers are where they were.` });
}
