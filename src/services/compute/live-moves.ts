/**
 * Guests that go from one host to another while they execute: the one agent holds their bases out, the other gets them and
 * offers streams, by which the one's hypervisor sends the rest. Nothing is taken away here, and neither of the two executes afterwards;
 * whoever asked decides which lives on.
 */
import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { computeContract } from '#contracts/compute.ts';
import type { InputOf, OutputOf } from '#contracts/contract.ts';
import { CloudError } from '#domain/errors.ts';
import type { ChannelServer } from './channel/channel-server.ts';
import { openStream } from './channel/open-stream.ts';
import type { Driver, GuestDisk, GuestSpec, JobControl, MoveStream } from './driver/driver.ts';
import { diskFile, disksDirOf, disksOf, guestDir } from './driver/guest-files.ts';
import { readQcow2Header } from './driver/qcow2.ts';
import type { ImageCache } from './image-cache.ts';
import { describe, fetchOffered, findShared, specOf } from './offered-files.ts';
import type { SharedDisks } from './shared-disks.ts';

type Methods = (typeof computeContract)['methods'];

export interface LiveMovesOptions {
  readonly driver: Driver;
  readonly cache: ImageCache;
  readonly channel: ChannelServer;
  /** Where the driver keeps each guest's files, by id. */
  readonly instancesDir: string;
  readonly shared: SharedDisks;
}

const STREAMS: readonly MoveStream[] = ['memory', 'disks'];

export class LiveMoves {
  readonly #options: LiveMovesOptions;
  /** The offer of each guest that is expected. */
  readonly #offers = new Map<string, string>();

  constructor(options: LiveMovesOptions) {
    this.#options = options;
  }

  /** Holds out what lies below the disks of a guest that executes, or is paused. */
  async offerBases(serverId: string, { mayShare }: { mayShare: boolean }): Promise<OutputOf<Methods['offerBases']>> {
    const { driver, channel, instancesDir, shared } = this.#options;
    const spec = await driver.spec(serverId);
    const { state } = await driver.inspect(serverId);
    if (!spec || (state !== 'running' && state !== 'paused'))
      throw new CloudError('conflict', { reason: `Guest ${serverId} is ${state}; only one that runs can move live.` });
    const dir = disksDirOf(guestDir(instancesDir, serverId), spec);
    const files = new Map(disksOf(spec).map(({ base }) => [basename(base), base]));
    const sizes = [...files].map(async ([name, path]) => ({ name, sizeBytes: (await stat(path)).size }));
    const { disk, otherDisks, vcpus, memoryMib } = spec;
    const [first, ...others] = await Promise.all([sized(dir, disk), ...otherDisks.map((each) => sized(dir, each))]);
    const guest = describe({ ...spec, disk: first, otherDisks: others }, await Promise.all(sizes));
    const proof = mayShare ? await shared.prove(spec) : null;
    const offer = await channel.offer(files);
    shared.showDuring(offer.id, spec, proof);
    return { offer, guest: { ...guest, vcpus, memoryMib, ...(proof && { sharedDisks: proof }) } };
  }

  /** Makes a guest that waits for what the other sends; what came by an earlier attempt is thrown away. */
  async receive(
    input: InputOf<Methods['receiveLive']>,
    control: JobControl,
  ): Promise<OutputOf<Methods['receiveLive']>> {
    const { serverId, guest } = input;
    const { driver, channel, shared } = this.#options;
    const before = this.#offers.get(serverId);
    if (before !== undefined) channel.withdraw(before);
    const sharedDisks = guest.sharedDisks !== undefined && (await shared.sees(serverId, guest.sharedDisks));
    await driver.receive(await this.#expected(input, sharedDisks, control), { sharedDisks });
    const offer = await channel.offerStreams(async (name) => {
      const stream = STREAMS.find((each) => each === name);
      if (!stream) throw new Error(`a guest has no stream ${name}`);
      return driver.openIncoming(serverId, stream);
    });
    this.#offers.set(serverId, offer.id);
    return { offer, ...(sharedDisks && { sharedDisks }) };
  }

  /** What is to come, with what lies below it. */
  async #expected(
    input: InputOf<Methods['receiveLive']>,
    sharedDisks: boolean,
    control: JobControl,
  ): Promise<GuestSpec> {
    const { serverId, guest } = input;
    const { cache, instancesDir, shared } = this.#options;
    const { vcpus, memoryMib } = guest;
    const disksDir = sharedDisks ? shared.dirOf(serverId) : null;
    if (disksDir !== null) {
      await findShared(input, disksDir, shared);
      return { ...specOf(input, disksDir), vcpus, memoryMib, disksDir };
    }
    const dir = guestDir(instancesDir, serverId);
    await fetchOffered(input, dir, cache, control);
    return { ...specOf(input, dir), vcpus, memoryMib };
  }

  /** Sends a guest to where it is expected. */
  async send({ serverId, offer, disksTo }: InputOf<Methods['migrateLive']>, control: JobControl): Promise<void> {
    const { driver, shared } = this.#options;
    const open = (stream: MoveStream) => openStream(offer, stream, control.signal);
    await driver.migrate(serverId, open, control, { sharedDisks: disksTo !== undefined });
    // Before the record says where it is: what a host holds when it is told that a guest has left, it removes.
    if (disksTo !== undefined) await shared.give(serverId, disksTo);
  }
}

/** With the size that the disk has: one that was larger than its specification said stayed so. */
async function sized(dir: string, disk: GuestDisk): Promise<GuestDisk> {
  const header = await readQcow2Header(join(dir, diskFile(disk.name)));
  return { ...disk, sizeBytes: header?.virtualSizeBytes ?? disk.sizeBytes };
}
