/**
 * nova-compute: one agent per host, which does what the conductor asks through its driver.
 *
 * It has no database. Everything it knows is on its disk (the guests' files) or asked for again; killed at any moment it
 * re-attaches to the guests, which run on, and is asked again for whatever was not answered.
 */
import { uptime } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { Client, Rpc } from '#bus/rpc.ts';
import { computeContract } from '#contracts/compute.ts';
import { conductorContract } from '#contracts/conductor.ts';
import { CONTRACT_VERSION } from '#contracts/contract.ts';
import type { GuestsFound } from '#contracts/guest.ts';
import { CloudError } from '#domain/errors.ts';
import type { Log } from '#observe/log.ts';
import type { Backups } from './backups.ts';
import type { ChannelServer } from './channel/channel-server.ts';
import type { Driver, GuestStatus } from './driver/driver.ts';
import { GuestMoves } from './guest-moves.ts';
import { GuestWork } from './guest-work.ts';
import { computeHandlers } from './handlers.ts';
import { HostNetworks } from './host-networks.ts';
import type { ImageCache } from './image-cache.ts';
import { LiveMoves } from './live-moves.ts';
import { MetadataServer } from './metadata-server.ts';
import type { NetworkPlane } from './network/plane.ts';
import type { SharedBases } from './shared-bases.ts';
import type { SharedDisks } from './shared-disks.ts';

export interface AgentOptions {
  readonly host: string;
  readonly availabilityZone: string;
  readonly driver: Driver;
  readonly rpc: Rpc;
  readonly cache: ImageCache;
  readonly backups: Backups;
  /** By which guests come from other hosts and go there. */
  readonly channel: ChannelServer;
  readonly plane: NetworkPlane;
  /** Where tunnels from other hosts end; null: there are none. */
  readonly networkAddress: string | null;
  /** Where the driver keeps each guest's files, by id. */
  readonly instancesDir: string;
  /** Where people look for a guest's files when several hosts share a machine: a link is made there; null: the same folder. */
  readonly linkDir: string | null;
  /** Disks that other hosts may see. */
  readonly shared: SharedDisks;
  readonly sharedBases: SharedBases | null;
  readonly log: Log;
}

const HEARTBEAT_MS = 10_000;
const REGISTER_AGAIN_MS = 1_000;
/** Silent for so long (the machine slept, the process was stopped), the host may have been taken for down. */
const AWAY_MS = 45_000;
/** Every so many heartbeats all guests are reported. */
const REPORT_EVERY_BEATS = 3;

export class ComputeAgent {
  readonly #options: AgentOptions;
  readonly #conductor: Client<typeof conductorContract>;
  readonly #guests: GuestWork;
  readonly #moves: GuestMoves;
  readonly #live: LiveMoves;
  readonly #networks: HostNetworks;
  readonly #metadata: MetadataServer;
  #reporting: Promise<unknown> | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #unsubscribe: () => void = () => {};
  readonly #closing = new AbortController();

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#conductor = options.rpc.client(conductorContract, 'nova-compute');
    this.#guests = new GuestWork(options);
    this.#moves = new GuestMoves(options);
    this.#live = new LiveMoves(options);
    const { host, log, plane } = options;
    this.#networks = new HostNetworks({
      host,
      log,
      plane,
      conductor: this.#conductor,
      runningPorts: () => this.#runningPorts(),
    });
    this.#metadata = new MetadataServer({
      identityOf: (address) => plane.identityOf(address),
      factsOf: async (portId) => (await this.#conductor.guestMetadata({ host, portId })).facts,
      log,
    });
  }

  /** Re-attaches to the host's guests, serves the contract, and registers with the conductor; `signal` ends the waiting for one. */
  async start(signal?: AbortSignal): Promise<void> {
    const { driver, rpc, host, log, cache, backups, sharedBases } = this.#options;
    await Promise.all([cache.recover(), backups.recover(), this.#options.plane.recover()]);
    const guests = await driver.recover();
    this.#unsubscribe = driver.onEvent(({ id, state, reason }) => {
      this.#conductor.guestChanged({ host, serverId: id, state, reason }).catch((error: unknown) => {
        log.warn({ err: error, instance_id: id }, 'a change of a guest could not be told; registering again tells it');
      });
    });
    const deps = { ...this.#options, networks: this.#networks };
    await rpc.serve(computeContract, computeHandlers(deps, this.#guests, this.#moves, this.#live), {
      host,
      name: 'nova-compute',
      log,
    });
    await this.#registerWhenHeard(guests, signal);
    this.#networks.hint();
    this.#answerMetadata();
    let lastBeat = Date.now();
    let beats = 0;
    this.#heartbeat = setInterval(() => {
      const isBack = Date.now() - lastBeat > AWAY_MS;
      lastBeat = Date.now();
      beats += 1;
      if (beats % REPORT_EVERY_BEATS === 0) {
        this.#report();
        this.#networks.hint();
      }
      // What was deleted meanwhile is still here: it is told to those who register.
      const beat = isBack
        ? driver.recover().then((found) => this.#register(found))
        : this.#conductor.heartbeat({ host });
      beat.catch((error: unknown) => log.warn({ err: error }, 'heartbeat not sent'));
      const unused = Promise.all([cache.dropUnused(), sharedBases?.dropUnused()]);
      unused.catch((error: unknown) => log.warn({ err: error }, 'image cache not cleaned'));
    }, HEARTBEAT_MS);
  }

  /**
   * Registers as soon as a conductor answers. Guests run on meanwhile, and nothing is asked of this host. Throws when it is
   * refused: one that speaks another contract cannot become right by waiting.
   */
  async #registerWhenHeard(guests: readonly GuestStatus[], signal?: AbortSignal): Promise<void> {
    const { log, host } = this.#options;
    for (let attempt = 0; !this.#closing.signal.aborted; attempt++) {
      try {
        await this.#register(attempt === 0 ? guests : await this.#options.driver.recover());
        return;
      } catch (error) {
        if (!(error instanceof CloudError) || !error.retryable || error.code === 'contractMismatch') throw error;
        if (attempt === 0) log.warn({ err: error, host }, 'no conductor answers; registering again until one does');
        const ending = AbortSignal.any([this.#closing.signal, ...(signal ? [signal] : [])]);
        await delay(REGISTER_AGAIN_MS, undefined, { signal: ending }).catch(() => undefined);
        signal?.throwIfAborted();
      }
    }
  }

  async close(options: { readonly stopGuests: boolean }): Promise<void> {
    this.#closing.abort();
    clearInterval(this.#heartbeat);
    this.#unsubscribe();
    await this.#reporting;
    await this.#networks.close();
    await this.#metadata.close();
    await this.#options.channel.close();
    await this.#options.driver.close(options);
    await (options.stopGuests ? this.#options.plane.remove() : this.#options.plane.close());
  }

  async #register(guests: readonly GuestStatus[]): Promise<void> {
    const { driver, host, availabilityZone, log } = this.#options;
    const inventory = await driver.inventory();
    const { deleted } = await this.#conductor.registerHost({
      host,
      availabilityZone,
      contractVersion: CONTRACT_VERSION,
      capacity: { vcpus: inventory.vcpus, memoryMib: inventory.memoryMib, diskGib: inventory.diskGib },
      hypervisorType: inventory.hypervisorType,
      hypervisorVersion: inventory.hypervisorVersion,
      cpuModel: inventory.cpuModel,
      cpuArch: inventory.cpuArch,
      address: this.#options.channel.address,
      networkKind: this.#options.plane.kind,
      networkAddress: this.#options.networkAddress ?? '',
      bootedAt: Math.round(Date.now() - uptime() * 1000),
      guests: asFound(guests),
    });
    for (const id of deleted) {
      log.info({ instance_id: id }, 'removing a guest that was deleted while this host was away');
      await this.#guests.destroy(id);
    }
  }

  async #runningPorts(): Promise<string[]> {
    const { driver } = this.#options;
    const running = (await driver.recover()).filter(({ state }) => state === 'running');
    const specs = await Promise.all(running.map(({ id }) => driver.spec(id)));
    return specs.flatMap((spec) => (spec?.nics ?? []).flatMap(({ portId }) => portId ?? []));
  }

  /** As soon as there is a network. */
  #answerMetadata(): void {
    const { plane, log } = this.#options;
    if (plane.kind === 'none') return;
    plane.metadataServer().then(
      (listener) => (this.#closing.signal.aborted ? listener.close() : this.#metadata.serve(listener)),
      (error: unknown) => log.error({ err: error }, 'guests get no metadata but from their config drives'),
    );
  }

  /** Tells the conductor what is here; one look at a time, since a QEMU that hangs holds it up for a while. */
  #report(): void {
    const { driver, host, log } = this.#options;
    this.#reporting ??= driver
      .recover()
      .then((found) => this.#conductor.guestsFound({ host, guests: asFound(found) }))
      .catch((error: unknown) => log.warn({ err: error }, 'guests not reported'))
      .finally(() => {
        this.#reporting = undefined;
      });
  }
}

function asFound(guests: readonly GuestStatus[]): GuestsFound {
  return guests.map(({ id, state, damage }) => ({
    serverId: id,
    state,
    ...(damage !== undefined && { isDamaged: true }),
  }));
}
