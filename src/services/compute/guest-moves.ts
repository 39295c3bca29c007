/**
 * Guests that go from one host to another while they do not run: the one agent holds their disks out, the other makes a guest
 * of them, or of those that it sees as well. Nothing is taken away here; whoever asked decides which of the two lives on.
 */
import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { computeContract } from '#contracts/compute.ts';
import type { InputOf, OutputOf } from '#contracts/contract.ts';
import { CloudError } from '#domain/errors.ts';
import type { ChannelServer } from './channel/channel-server.ts';
import type { Driver, GuestDisk, JobControl } from './driver/driver.ts';
import { diskFile, disksDirOf, disksOf, guestDir } from './driver/guest-files.ts';
import { GIB } from './guest-work.ts';
import type { ImageCache } from './image-cache.ts';
import { describe, fetchOffered, findShared, specOf } from './offered-files.ts';
import type { SharedDisks } from './shared-disks.ts';

type Methods = (typeof computeContract)['methods'];

export interface GuestMovesOptions {
  readonly driver: Driver;
  readonly cache: ImageCache;
  readonly channel: ChannelServer;
  /** Where the driver keeps each guest's files, by id. */
  readonly instancesDir: string;
  readonly shared: SharedDisks;
}

export class GuestMoves {
  readonly #options: GuestMovesOptions;

  constructor(options: GuestMovesOptions) {
    this.#options = options;
  }

  /** Holds a guest out. Throws while it executes: what is copied must stand still. */
  async offer(serverId: string, { mayShare }: { mayShare: boolean }): Promise<OutputOf<Methods['offerGuest']>> {
    const { driver, channel, instancesDir, shared } = this.#options;
    const spec = await driver.spec(serverId);
    const { state } = await driver.inspect(serverId);
    if (!spec || (state !== 'stopped' && state !== 'crashed'))
      throw new CloudError('conflict', {
        reason: `Guest ${serverId} is ${state}; only one that is stopped can be moved.`,
      });
    const dir = disksDirOf(guestDir(instancesDir, serverId), spec);
    const paths = disksOf(spec).flatMap(({ name, base }) => [join(dir, diskFile(name)), base]);
    const files = new Map(paths.map((path) => [basename(path), path]));
    const sizes = await Promise.all(
      [...files].map(async ([name, path]) => ({ name, sizeBytes: (await stat(path)).size })),
    );
    const proof = mayShare ? await shared.prove(spec) : null;
    const offer = await channel.offer(files);
    shared.showDuring(offer.id, spec, proof);
    return { offer, guest: { ...describe(spec, sizes), ...(proof && { sharedDisks: proof }) } };
  }

  /** Makes a guest of what is held out. Made already: nothing. */
  async receive(
    input: InputOf<Methods['receiveGuest']>,
    control: JobControl,
  ): Promise<OutputOf<Methods['receiveGuest']>> {
    const { serverId, resources, guest } = input;
    const { driver, cache, instancesDir, shared } = this.#options;
    const made = await driver.spec(serverId);
    const disksDir = shared.dirOf(serverId);
    const from = guest.sharedDisks;
    if (disksDir !== null && from && (!made || made.disksDir) && (await shared.sees(serverId, from))) {
      if (!made) await this.#share(input, disksDir);
      // From here on the other host neither runs nor removes it.
      await shared.take(serverId, from.host);
      await shared.noteDisks(await driver.spec(serverId));
      return { bytes: 0, sharedDisks: true };
    }
    if (made) return { bytes: 0 };
    const dir = guestDir(instancesDir, serverId);
    const bytes = await fetchOffered(input, dir, cache, control);
    const { disk, ...rest } = specOf(input, dir);
    await driver.create({ ...rest, ...sized(disk, resources) });
    return { bytes };
  }

  async #share(input: InputOf<Methods['receiveGuest']>, disksDir: string): Promise<void> {
    await findShared(input, disksDir, this.#options.shared);
    const { disk, ...rest } = specOf(input, disksDir);
    await this.#options.driver.create({ ...rest, ...sized(disk, input.resources), disksDir }, { hasDisks: true });
  }

  /** Another size and a copy of the disk, on the host where it is. */
  async resize(input: InputOf<Methods['resizeGuest']>): Promise<void> {
    const { serverId, diskName, resources } = input;
    const { driver } = this.#options;
    const spec = await driver.spec(serverId);
    if (!spec) throw new CloudError('instanceNotReady', { id: serverId });
    if (spec.disk.name === diskName) return;
    const copy = { ...spec.disk, name: diskName, copyOf: spec.disk.name };
    await driver.reconfigure({ ...spec, ...sized(copy, resources) });
  }
}

function sized(disk: GuestDisk, { vcpus, memoryMib, diskGib }: { vcpus: number; memoryMib: number; diskGib: number }) {
  return { vcpus, memoryMib, disk: { ...disk, sizeBytes: Math.max(disk.sizeBytes, diskGib * GIB) } };
}
