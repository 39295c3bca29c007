/**
 * Confirm and revert: the end of a move. Confirmed, what is left of the server where it came from is removed; reverted, the
 * copy is removed and the server runs where it came from, as it was when it left. Neither can be taken back.
 */
import { MovedInput, VERSIONS } from '#contracts/operation-inputs.ts';
import { POWER_STATES } from '#domain/instance/states.ts';
import { destroyGuest, regainDisks } from './placement.ts';
import { defineOperation, shutdownDeadlineMs } from './ports.ts';

export const confirmResize = defineOperation('confirmResize', { version: VERSIONS.confirmResize, input: MovedInput })
  .step('findOld', {
    doc: 'Looks whether the host that it left can be asked; from here on there is no way back.',
    task: 'resize_confirming',
    pointOfNoReturn: true,
    do: async ({ ports, input }) => ({ isUp: await ports.servers.isHostUp(input.from) }),
  })
  .step('removeOld', {
    doc: 'Removes the guest where it came from, or its old disk.',
    do: async (context) => {
      const { ports, outputs, serverId, input, key, signal } = context;
      if (input.from === input.to) await ports.compute(input.to).settleGuest({ serverId }, { key, signal });
      // A host that is down is told when it registers again.
      else if (outputs.findOld.isUp) await destroyGuest(context, input.from);
    },
  })
  .step('settleMove', {
    doc: 'Gives the room back that it held where it came from.',
    do: async ({ ports, serverId, key, signal }) => {
      await ports.scheduler.settleMove({ serverId }, { key, signal });
    },
    record: (_, { input }) => ({
      vmState: input.wasRunning ? 'active' : 'stopped',
      migration: { status: 'confirmed' },
    }),
  });

export const revertResize = defineOperation('revertResize', { version: VERSIONS.revertResize, input: MovedInput })
  .step('stopGuest', {
    doc: 'Shuts the guest off where it was put.',
    task: 'resize_reverting',
    deadlineMs: shutdownDeadlineMs,
    do: async ({ ports, serverId, input, key, signal }) => {
      await ports.compute(input.to).stopGuest({ serverId, graceMs: input.graceMs }, { key, signal });
    },
    undo: async (context) => {
      const { ports, serverId, input, key, signal } = context;
      if (input.from !== input.to) await regainDisks(context, input.to, input.from);
      if (input.wasRunning) await ports.compute(input.to).startGuest({ serverId }, { key: `${key}/undo`, signal });
    },
  })
  .step('moveRecord', {
    doc: 'Says that the server is where it came from, with its old flavor; from here on there is no way back.',
    pointOfNoReturn: true,
    do: async (context) => {
      const { ports, input } = context;
      // Before the record says so: what a host holds when it is told that a guest has left, it removes.
      if (input.from !== input.to) await regainDisks(context, input.from, input.to);
      return { isUp: await ports.servers.isHostUp(input.to) };
    },
    record: (_, { input }) => ({
      host: input.from,
      powerState: POWER_STATES.shutdown,
      changes: { flavor: input.oldFlavor },
    }),
  })
  .step('removeCopy', {
    doc: 'Removes the guest where it was put, or its new disk.',
    do: async (context) => {
      const { ports, outputs, serverId, input, key, signal } = context;
      if (input.from === input.to) await ports.compute(input.to).revertGuest({ serverId }, { key, signal });
      else if (outputs.moveRecord.isUp) await destroyGuest(context, input.to);
    },
  })
  .step('revertMove', {
    doc: 'Gives the room back that it held where it was put.',
    do: async ({ ports, serverId, key, signal }) => {
      await ports.scheduler.revertMove({ serverId }, { key, signal });
    },
  })
  .step('startGuest', {
    doc: 'Boots the guest where it came from, unless it was shut off.',
    do: async ({ ports, serverId, input, key, signal }) => {
      if (input.run) await ports.compute(input.from).startGuest({ serverId }, { key, signal });
    },
    record: (_, { input, now }) => ({
      vmState: input.run ? 'active' : 'stopped',
      ...(input.run && { powerState: POWER_STATES.running, launchedAt: now }),
      migration: { status: 'reverted' },
    }),
  });
