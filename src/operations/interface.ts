/**
 * Attach and detach interface: a network card more, or one less, while the guest runs, stands still or is shut off.
 *
 * The api has made or claimed the port in the transaction that accepted the operation: an address is taken by then, and what cannot
 * be was refused. Undone, the port goes as it came.
 */
import { InterfaceInput, VERSIONS } from '#contracts/operation-inputs.ts';
import { agentOf } from './guest.ts';
import { type Context, defineOperation } from './ports.ts';

export const attachInterface = defineOperation('attachInterface', {
  version: VERSIONS.attachInterface,
  input: InterfaceInput,
})
  .step('holdPort', {
    doc: 'Has the port that the request made or claimed.',
    task: 'attaching-interface',
    do: async () => undefined,
    undo: releasePort,
  })
  .step('plugNic', {
    doc: 'Gives the guest the port’s card.',
    do: plugNic,
    undo: unplugNic,
  });

export const detachInterface = defineOperation('detachInterface', {
  version: VERSIONS.detachInterface,
  input: InterfaceInput,
})
  .step('unplugNic', {
    doc: 'Takes the port’s card out of the guest, which lets go of it first.',
    task: 'detaching-interface',
    deadlineMs: 120_000,
    // What has been released may be somebody else's by now.
    pointOfNoReturn: true,
    do: unplugNic,
    undo: plugNic,
  })
  .step('releasePort', {
    doc: 'Deletes the port if it was made for the server, else frees it.',
    do: releasePort,
  });

async function plugNic(context: Context<InterfaceInput>): Promise<void> {
  const { serverId, input, key, signal } = context;
  await (await agentOf(context)).plugNic({ serverId, nic: input.nic }, { key: `${key}/plug`, signal });
}

async function unplugNic(context: Context<InterfaceInput>): Promise<void> {
  const { serverId, input, key, signal } = context;
  await (await agentOf(context)).unplugNic({ serverId, mac: input.nic.mac }, { key: `${key}/unplug`, signal });
}

async function releasePort({ ports, serverId, input }: Context<InterfaceInput>): Promise<void> {
  await ports.networks.release(serverId, input.nic.portId);
}
