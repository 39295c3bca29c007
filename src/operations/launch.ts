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
import type { ConfigDrive } from '#contracts/guest.ts';
import { LaunchInput, VERSIONS } from '#contracts/operation-inputs.ts';
import { POWER_STATES } from '#domain/instance/states.ts';
import { defineOperation } from './ports.ts';

/** The place in the config drive's `meta_data.json` where the password goes. */
const META_DATA = 'openstack/latest/meta_data.json';

export const launch = defineOperation('create', { version: VERSIONS.create, input: LaunchInput })
  .step('schedule', {
    doc: 'Picks a host and claims the room on it.',
    task: 'scheduling',
    do: ({ ports, serverId, input, key, signal }) =>
      ports.scheduler.claimHost(
        {
          serverId,
          resources: input.resources,
          availabilityZone: input.availabilityZone,
          host: input.host,
          imageProperties: input.imageProperties,
        },
        { key, signal },
      ),
    record: ({ host, availabilityZone }) => ({ host, availabilityZone }),
    undo: async ({ ports, serverId, signal }) => {
      await ports.scheduler.releaseHost({ serverId }, { signal });
    },
    unrecord: { host: null },
  })
  .step('createGuest', {
    doc: 'Makes the guest’s disk and config drive, after fetching the image if the host does not have it.',
    task: 'block_device_mapping',
    deadlineMs: 3_600_000,
    do: ({ ports, outputs, input, secrets, serverId, key, signal, onProgress }) =>
      ports.compute(outputs.schedule.host).createGuest(
        {
          serverId,
          name: input.name,
          imageId: input.imageId,
          vcpus: input.resources.vcpus,
          memoryMib: input.resources.memoryMib,
          diskGib: input.resources.diskGib,
          nics: input.nics,
          configDrive: withPassword(input.configDrive, secrets),
        },
        { key, signal, onProgress },
      ),
    undo: async ({ ports, outputs, serverId, signal }) => {
      await ports.compute(outputs.schedule.host).destroyGuest({ serverId }, { signal });
    },
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

function withPassword(files: ConfigDrive | null, secrets: Readonly<Record<string, string>>): ConfigDrive | null {
  const metaData = files?.[META_DATA];
  if (!files || typeof metaData !== 'string' || secrets.adminPass === undefined) return files;
  return { ...files, [META_DATA]: JSON.stringify({ ...JSON.parse(metaData), admin_pass: secrets.adminPass }) };
}
