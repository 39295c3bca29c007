/**
 * Launch: from a request to a running guest.
 *
 * nova-api has written the server's row (BUILD) and this operation in one transaction. Here the conductor asks the
 * scheduler for a host, which claims the room on it; then the host's compute agent fetches the image into its cache
 * (once, however many launches wait for it), makes the guest's files — a copy-on-write disk over the cached image and
 * the config drive — and starts QEMU. When the guest executes, the server is ACTIVE.
 *
 * Anything that fails before that takes everything back: guest gone, files gone, claim released; the server stays, in
 * ERROR, with the reason as its fault.
 */
import { LaunchInput, VERSIONS } from '#contracts/operation-inputs.ts';
import { POWER_STATES } from '#domain/instance/states.ts';
import { claimHost, createGuest, destroyGuest, releaseHost } from './placement.ts';
import { defineOperation, HOURS } from './ports.ts';

/** 0.1.0 knew no guest agent. */
const OLDER = { 1: { input: (input: object) => ({ guestAgent: false, ...input }) } };

export const launch = defineOperation('create', { version: VERSIONS.create, input: LaunchInput, older: OLDER })
  .step('schedule', {
    doc: 'Picks a host and claims the room on it.',
    task: 'scheduling',
    do: (context) => claimHost(context),
    record: ({ host, availabilityZone }) => ({ host, availabilityZone }),
    undo: releaseHost,
    unrecord: () => ({ host: null }),
  })
  .step('createGuest', {
    doc: 'Makes the guest’s disk and config drive, after fetching the image if the host does not have it.',
    task: 'block_device_mapping',
    deadlineMs: HOURS,
    do: (context) => createGuest(context, context.outputs.schedule.host),
    undo: (context) => destroyGuest(context, context.outputs.schedule.host),
  })
  .step('startGuest', {
    doc: 'Starts QEMU; done when the guest executes.',
    task: 'spawning',
    pointOfNoReturn: true,
    do: ({ ports, outputs, serverId, key, signal }) =>
      ports.compute(outputs.schedule.host).startGuest({ serverId }, { key, signal }),
    record: ({ startedAt }) => ({ powerState: POWER_STATES.running, launchedAt: startedAt }),
    // The guest's files and process are one thing to the host: taking back createGuest removes both.
  });
