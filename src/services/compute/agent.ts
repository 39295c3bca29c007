/**
 * nova-compute: one agent per host, which does what the conductor asks through its driver.
 *
 * It has no database. Everything it knows is on its disk (the guests' files) or asked for again; killed at any moment it
 * re-attaches to the guests, which run on, and is asked again for whatever was not answered.
 */
import { link, mkdir, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client, Handlers, Rpc } from '#bus/rpc.ts';
import { computeContract } from '#contracts/compute.ts';
import { conductorContract } from '#contracts/conductor.ts';
import { CONTRACT_VERSION, type InputOf } from '#contracts/contract.ts';
import { CloudError } from '#domain/errors.ts';
import type { Log } from '#observe/log.ts';
import type { Backups } from './backups.ts';
import type { Driver, GuestStatus, JobControl } from './driver/driver.ts';
import { DriverError } from './driver/driver-error.ts';
import type { ImageCache } from './image-cache.ts';
import { Serial } from './serial.ts';

export interface AgentOptions {
  readonly host: string;
  readonly availabilityZone: string;
  readonly driver: Driver;
  readonly rpc: Rpc;
  readonly cache: ImageCache;
  readonly backups: Backups;
  /** Where the driver keeps each guest's files, by id. */
  readonly instancesDir: string;
  /** Where people look for a guest's files when several hosts share a machine: a link is made there; null: the same folder. */
  readonly linkDir: string | null;
  readonly log: Log;
}

const HEARTBEAT_MS = 10_000;
/** Silent for so long (the machine slept, the process was stopped), the host may have been taken for down. */
const AWAY_MS = 45_000;
const GIB = 2 ** 30;

type CreateGuest = InputOf<typeof computeContract.methods.createGuest>;

export class ComputeAgent {
  readonly #options: AgentOptions;
  readonly #conductor: Client<typeof conductorContract>;
  readonly #serial = new Serial();
  #heartbeat: NodeJS.Timeout | undefined;
  #unsubscribe: () => void = () => {};

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#conductor = options.rpc.client(conductorContract, 'nova-compute');
  }

  /** Re-attaches to the host's guests, serves the contract, and registers with the conductor. */
  async start(): Promise<void> {
    const { driver, rpc, host, log, cache, backups } = this.#options;
    await Promise.all([cache.recover(), backups.recover()]);
    const guests = await driver.recover();
    this.#unsubscribe = driver.onEvent(({ id, state, reason }) => {
      this.#conductor.guestChanged({ host, serverId: id, state, reason }).catch((error: unknown) => {
        log.warn({ err: error, instance_id: id }, 'a change of a guest could not be told; registering again tells it');
      });
    });
    await rpc.serve(computeContract, this.#handlers(), { host, name: 'nova-compute', log });
    await this.#register(guests);
    let lastBeat = Date.now();
    this.#heartbeat = setInterval(() => {
      const isBack = Date.now() - lastBeat > AWAY_MS;
      lastBeat = Date.now();
      // What was deleted meanwhile is still here: it is told to those who register.
      const beat = isBack
        ? driver.recover().then((found) => this.#register(found))
        : this.#conductor.heartbeat({ host });
      beat.catch((error: unknown) => log.warn({ err: error }, 'heartbeat not sent'));
      cache.dropUnused().catch((error: unknown) => log.warn({ err: error }, 'image cache not cleaned'));
    }, HEARTBEAT_MS);
  }

  async close(options: { readonly stopGuests: boolean }): Promise<void> {
    clearInterval(this.#heartbeat);
    this.#unsubscribe();
    await this.#options.driver.close(options);
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
      guests: guests.map(({ id, state }) => ({ serverId: id, state })),
    });
    for (const id of deleted) {
      log.info({ instance_id: id }, 'removing a guest that was deleted while this host was away');
      await this.#destroy(id);
    }
  }

  /** The contract's methods. What a driver throws becomes an error of the catalogue. */
  #handlers(): Handlers<typeof computeContract> {
    const { driver, backups } = this.#options;
    return speakingCatalogue<Handlers<typeof computeContract>>({
      createGuest: (input, control) => this.#serial.run(input.serverId, () => this.#create(input, control)),
      startGuest: ({ serverId }) =>
        this.#serial.run(serverId, async () => {
          await driver.start(serverId);
          return { startedAt: Date.now() };
        }),
      destroyGuest: ({ serverId }) =>
        this.#serial.run(serverId, async () => {
          await this.#destroy(serverId);
          return {};
        }),
      backupDisk: ({ serverId, imageId }, control) =>
        this.#serial.run(serverId, async () => {
          const { sizeBytes, virtualSizeBytes, live } = await backups.backup(serverId, imageId, control);
          return { sizeBytes, virtualSizeBytes, live };
        }),
      uploadBackup: ({ imageId }, control) => backups.upload(imageId, control),
      discardBackup: async ({ imageId }) => {
        await backups.discard(imageId);
        return {};
      },
      consoleOutput: async ({ serverId, maxBytes }) => ({ output: await driver.consoleOutput(serverId, maxBytes) }),
      inspectGuest: async ({ serverId }) => ({ state: (await driver.inspect(serverId)).state }),
    });
  }

  async #create(input: CreateGuest, { signal, onProgress }: JobControl): Promise<Record<string, never>> {
    const { driver, cache, instancesDir, linkDir } = this.#options;
    const image = await cache.fetch(input.imageId, signal, onProgress);
    const dir = join(instancesDir, input.serverId);
    await mkdir(dir, { recursive: true });
    if (linkDir !== null) await ensure(symlink(dir, join(linkDir, input.serverId)));
    const base = join(dir, 'base');
    await ensure(link(image.path, base));
    const wanted = input.diskGib * GIB;
    if (wanted !== 0 && wanted < image.virtualSizeBytes) {
      throw new CloudError('imageUnusable', {
        id: input.imageId,
        reason: `its disk has ${Math.ceil(image.virtualSizeBytes / GIB)} GiB, the flavor's only ${input.diskGib}`,
      });
    }
    await driver.create({
      id: input.serverId,
      name: input.name.replace(/[^A-Za-z0-9._-]/g, '-').slice(0, 60) || 'guest',
      vcpus: input.vcpus,
      memoryMib: input.memoryMib,
      disk: { base, baseFormat: image.format, sizeBytes: wanted === 0 ? image.virtualSizeBytes : wanted },
      nics: input.nics,
      configDrive: input.configDrive,
    });
    return {};
  }

  async #destroy(serverId: string): Promise<void> {
    const { driver, linkDir } = this.#options;
    await driver.destroy(serverId);
    if (linkDir !== null) await rm(join(linkDir, serverId), { force: true });
  }
}

type AnyHandler = (input: never, context: never) => Promise<unknown>;

/** Wraps each handler so that a `DriverError` leaves as `hypervisorFailed`, retryable where the driver says so. */
function speakingCatalogue<Table extends Record<string, AnyHandler>>(handlers: Table): Table {
  const wrapped = Object.entries(handlers).map(([name, handler]) => [
    name,
    async (input: never, context: never) => {
      try {
        return await handler(input, context);
      } catch (error) {
        if (!(error instanceof DriverError)) throw error;
        const code = error.retryable ? 'hypervisorStumbled' : 'hypervisorFailed';
        throw new CloudError(code, { what: name, reason: error.message }, { cause: error });
      }
    },
  ]);
  return Object.fromEntries(wrapped) as Table;
}

/** Making something that an earlier attempt has made already is success. */
async function ensure(making: Promise<void>): Promise<void> {
  try {
    await making;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}
