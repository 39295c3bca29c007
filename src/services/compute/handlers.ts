/** The methods of the compute contract, over the driver: calls for one guest run one after the other. */
import type { Handlers } from '#bus/rpc.ts';
import type { computeContract } from '#contracts/compute.ts';
import type { Nic } from '#contracts/guest.ts';
import { CloudError } from '#domain/errors.ts';
import type { Log } from '#observe/log.ts';
import type { Backups } from './backups.ts';
import type { ChannelServer } from './channel/channel-server.ts';
import type { Driver } from './driver/driver.ts';
import { DriverError } from './driver/driver-error.ts';
import type { GuestMoves } from './guest-moves.ts';
import type { GuestWork } from './guest-work.ts';
import type { HostNetworks } from './host-networks.ts';
import type { ImageCache } from './image-cache.ts';
import type { LiveMoves } from './live-moves.ts';
import { NetworkError } from './network/network-error.ts';
import { Serial } from './serial.ts';
import type { SharedDisks } from './shared-disks.ts';

export interface HandlerDeps {
  readonly driver: Driver;
  readonly cache: ImageCache;
  readonly backups: Backups;
  readonly channel: ChannelServer;
  readonly shared: SharedDisks;
  readonly networks: HostNetworks;
  readonly log: Log;
}

export function computeHandlers(
  { driver, cache, backups, channel, shared, networks, log }: HandlerDeps,
  guests: GuestWork,
  moves: GuestMoves,
  live: LiveMoves,
): Handlers<typeof computeContract> {
  const serial = new Serial();
  /** In its turn, answering nothing. */
  const inTurn = (serverId: string, work: () => Promise<unknown>) =>
    serial.run(serverId, async () => {
      await work();
      return {};
    });
  /** What a guest is about to be joined to is there. */
  const ensurePorts = (nics?: readonly Nic[]) => networks.ensure(portsOf(nics));
  return speakingCatalogue<Handlers<typeof computeContract>>(log, {
    createGuest: (input, control) =>
      serial.run(input.serverId, () => {
        // It will be started next: its networks can be made while its disk is.
        networks.prepare(portsOf(input.nics));
        return guests.create(input, control);
      }),
    startGuest: ({ serverId }) =>
      serial.run(serverId, async () => {
        await guests.requireHeld(serverId);
        await ensurePorts((await driver.spec(serverId))?.nics);
        await driver.start(serverId);
        await guests.linkGuest(serverId);
        return { startedAt: Date.now() };
      }),
    stopGuest: ({ serverId, graceMs }, { signal }) => inTurn(serverId, () => driver.stop(serverId, graceMs, signal)),
    rebootGuest: ({ serverId, graceMs }, { signal }) =>
      serial.run(serverId, async () => {
        await guests.requireHeld(serverId);
        await ensurePorts((await driver.spec(serverId))?.nics);
        return { rebooted: await driver.reboot(serverId, graceMs, signal) };
      }),
    pauseGuest: ({ serverId }) =>
      inTurn(serverId, async () => {
        await driver.pause(serverId);
        // It may have come from another host just now.
        await guests.linkGuest(serverId);
      }),
    suspendGuest: ({ serverId }, control) => inTurn(serverId, () => driver.suspend(serverId, control)),
    plugNic: ({ serverId, nic }) =>
      inTurn(serverId, async () => {
        await ensurePorts([nic]);
        await driver.plug(serverId, nic);
      }),
    unplugNic: ({ serverId, mac }, { signal }) => inTurn(serverId, () => driver.unplug(serverId, mac, signal)),
    networkChanged: async () => {
      networks.hint();
      return {};
    },
    fetchImage: async ({ imageId }, { signal, onProgress }) => {
      const { cached } = await cache.fetch(imageId, signal, onProgress);
      return { cached };
    },
    replaceDisk: (input, control) => inTurn(input.serverId, () => guests.replaceDisk(input, control)),
    rescueGuest: (input, control) => inTurn(input.serverId, () => guests.rescue(input, control)),
    resizeGuest: (input) =>
      inTurn(input.serverId, async () => {
        await moves.resize(input);
        await guests.noteDisks(input.serverId);
      }),
    offerGuest: ({ serverId, mayShare = false }) => serial.run(serverId, () => moves.offer(serverId, { mayShare })),
    withdrawOffer: async ({ offerId }) => {
      channel.withdraw(offerId);
      await shared.hide(offerId);
      return {};
    },
    receiveGuest: (input, control) =>
      serial.run(input.serverId, async () => {
        const received = await moves.receive(input, control);
        await guests.linkGuest(input.serverId);
        return received;
      }),
    offerBases: ({ serverId, mayShare = false }) => serial.run(serverId, () => live.offerBases(serverId, { mayShare })),
    receiveLive: (input, control) =>
      serial.run(input.serverId, async () => {
        await ensurePorts(input.guest.nics);
        return live.receive(input, control);
      }),
    migrateLive: (input, control) => inTurn(input.serverId, () => live.send(input, control)),
    // Not in its turn, which is that of what it hurries.
    hurryMigration: async ({ serverId }) => {
      await driver.hurry(serverId);
      return {};
    },
    settleGuest: ({ serverId }) =>
      inTurn(serverId, async () => {
        await driver.settle(serverId);
        await guests.noteDisks(serverId);
      }),
    revertGuest: ({ serverId, onlyRescue = false }) =>
      inTurn(serverId, async () => {
        await (onlyRescue ? guests.endRescue(serverId) : driver.revert(serverId));
        await guests.noteDisks(serverId);
      }),
    takeDisks: ({ serverId, from }) => inTurn(serverId, () => shared.take(serverId, from)),
    destroyGuest: ({ serverId, disksTo }) => inTurn(serverId, () => guests.destroy(serverId, disksTo)),
    backupDisk: ({ serverId, imageId, quiesce }, control) =>
      serial.run(serverId, async () => {
        await guests.checkOwnDisk(serverId);
        const options = quiesce === 'required' ? { quiesce } : {};
        const { sizeBytes, virtualSizeBytes, live, quiesced } = await backups.backup(
          serverId,
          imageId,
          control,
          options,
        );
        return { sizeBytes, virtualSizeBytes, live, quiesced };
      }),
    uploadBackup: ({ imageId }, control) => backups.upload(imageId, control),
    discardBackup: async ({ imageId }) => {
      await backups.discard(imageId);
      return {};
    },
    offerConsole: async ({ serverId, kind }) => {
      const { state } = await driver.inspect(serverId);
      if (state !== 'running' && state !== 'paused') throw new CloudError('instanceNotReady', { id: serverId });
      return { offer: await channel.offerStreams(() => driver.openConsole(serverId, kind)) };
    },
    consoleOutput: async ({ serverId, maxBytes }) => ({ output: await driver.consoleOutput(serverId, maxBytes) }),
    inspectGuest: async ({ serverId, inTurn = false }) => {
      const inspect = () => driver.inspect(serverId);
      const found = await (inTurn ? serial.run(serverId, inspect) : inspect());
      const { state, reason = null, damage = null, lostWithHost = false } = found;
      const disksHeldBy = await guests.disksHeldBy(serverId);
      return { state, reason, damage, lostWithHost, ...(disksHeldBy !== undefined && { disksHeldBy }) };
    },
    setPassword: ({ serverId, user, password }) => inTurn(serverId, () => driver.setPassword(serverId, user, password)),
    injectNmi: ({ serverId }) => inTurn(serverId, () => driver.injectNmi(serverId)),
  });
}

function portsOf(nics: readonly Nic[] = []): string[] {
  return nics.flatMap(({ portId }) => (portId === undefined ? [] : [portId]));
}

type AnyHandler = (input: never, context: never) => Promise<unknown>;

/**
 * Wraps each handler so that a `DriverError` leaves as `hypervisorFailed`, retryable where the driver says so; one that says that
 * there is no guest to do it to, as `instanceNotReady`. What failed of the host's networks may be somebody else's: of a `NetworkError`
 * the log has it all, and nothing is told but that it is worth another attempt.
 */
function speakingCatalogue<Table extends Record<string, AnyHandler>>(log: Log, handlers: Table): Table {
  const wrapped = Object.entries(handlers).map(([name, handler]) => [
    name,
    async (input: never, context: never) => {
      try {
        return await handler(input, context);
      } catch (error) {
        if (error instanceof NetworkError) {
          log.error({ err: error, method: name }, 'networks could not be made');
          const reason = 'the networks of the host could not be made';
          throw new CloudError('hypervisorStumbled', { what: name, reason }, { cause: error });
        }
        if (!(error instanceof DriverError)) throw error;
        const { serverId } = input as { readonly serverId?: string };
        const isNotThere = error.code === 'not_running' || error.code === 'guest_not_found';
        if (isNotThere && serverId) throw new CloudError('instanceNotReady', { id: serverId }, { cause: error });
        const code = error.retryable ? 'hypervisorStumbled' : 'hypervisorFailed';
        throw new CloudError(code, { what: name, reason: error.message }, { cause: error });
      }
    },
  ]);
  return Object.fromEntries(wrapped) as Table;
}
