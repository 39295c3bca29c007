/**
 * Live migrate: a server goes to another host and its guest does not notice, or hardly.
 *
 * The new host makes a guest that waits, with empty disks over the same images. The old one’s QEMU mirrors its disks there and
 * sends its memory, while it executes; disks on storage that both hosts see are not mirrored, but opened by both. When almost everything is over it stands still for the rest. Then neither of the two
 * executes, and the record says which shall: the new one. Until that moment every failure leaves the server where it was, and
 * a cancel is granted.
 */
import { LiveMigrateInput, VERSIONS } from '#contracts/operation-inputs.ts';
import { destroyGuest, wishesOf } from './placement.ts';
import { type Context, defineOperation, HOURS } from './ports.ts';

export const liveMigrate = defineOperation('liveMigrate', { version: VERSIONS.liveMigrate, input: LiveMigrateInput })
  .step('schedule', {
    doc: 'Picks another host and claims the room on it.',
    task: 'migrating',
    do: ({ ports, serverId, input, key, signal }) => {
      const { resources, imageProperties, from } = input;
      const move = { from, mayStay: false };
      return ports.scheduler.claimHost(
        { serverId, resources, imageProperties, ...wishesOf(input), move },
        { key, signal },
      );
    },
    record: ({ host }) => ({ migration: { status: 'running', destHost: host } }),
    undo: async ({ ports, serverId, signal }) => {
      await ports.scheduler.revertMove({ serverId }, { signal });
    },
  })
  .step('sendGuest', {
    doc: 'Sends disks and memory while the guest executes; in the end it stands still on both sides.',
    deadlineMs: 24 * HOURS,
    do: sendGuest,
    undo: async (context) => {
      await destroyGuest(context, context.outputs.schedule.host, { disksTo: context.input.from });
      await goOn(context, context.input.from);
    },
  })
  .step('moveRecord', {
    doc: 'Says that the server is on the new host; from here on there is no way back.',
    pointOfNoReturn: true,
    do: async ({ outputs }) => outputs.schedule,
    record: ({ host, availabilityZone }) => ({ host, availabilityZone, migration: { status: 'post-migrating' } }),
  })
  .step('startGuest', {
    doc: 'Lets the guest go on there.',
    do: (context) => goOn(context, context.outputs.schedule.host),
  })
  .step('removeOld', {
    doc: 'Removes what is left of the guest where it came from.',
    do: (context) => destroyGuest(context, context.input.from),
  })
  .step('settleMove', {
    doc: 'Gives the room back that it held where it came from.',
    do: async ({ ports, serverId, key, signal }) => {
      await ports.scheduler.settleMove({ serverId }, { key, signal });
    },
    record: () => ({ migration: { status: 'completed' } }),
  });

type Moving = Context<LiveMigrateInput, { readonly schedule: { readonly host: string } }>;

/**
 * Each attempt is work of its own, under no key: what one attempt has made on the other side is thrown away by the next, which
 * ends the one before wherever it still goes on.
 */
async function sendGuest({ ports, serverId, input, outputs, signal, onProgress }: Moving): Promise<void> {
  const source = ports.compute(input.from);
  const target = ports.compute(outputs.schedule.host);
  const bases = await source.offerBases({ serverId, mayShare: true }, { signal });
  try {
    const { offer, sharedDisks = false } = await target.receiveLive({ serverId, ...bases }, { signal });
    const disks = sharedDisks ? { disksTo: outputs.schedule.host } : {};
    try {
      await source.migrateLive({ serverId, offer, ...disks }, { signal, onProgress });
    } finally {
      await target.withdrawOffer({ offerId: offer.id }).catch(() => undefined);
    }
  } finally {
    // Nobody waits for it; what is not withdrawn ends by itself.
    await source.withdrawOffer({ offerId: bases.offer.id }).catch(() => undefined);
  }
}

/** As it was before it stood still for the move. */
async function goOn({ ports, serverId, input, key, signal }: Context<LiveMigrateInput>, host: string): Promise<void> {
  const agent = ports.compute(host);
  const options = { key: `${key}/${host}`, signal };
  if (input.wasRunning) await agent.startGuest({ serverId }, options);
  else await agent.pauseGuest({ serverId }, options);
}
