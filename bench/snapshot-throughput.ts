/**
 * How fast a disk becomes an image: createImage → active, which is one copy, two hashes and an fsync, against
 * `qemu-img convert` of the same disk and a copy of the result into the store's folder, made durable as ours is. And how
 * much disk it takes while that goes on: never more than the guest's own disk and the image.
 */
import { lstatSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { output } from './lib/child.ts';
import type { BenchCloud } from './lib/cloud.ts';
import type { PreparedGuest } from './lib/guest.ts';
import { watchMost } from './lib/memory.ts';
import type { Row } from './lib/row.ts';
import { duration, durations, least, median, mib, timed } from './lib/stats.ts';

const GOAL = 0.9;
const SAMPLE_MS = 50;

export interface ThroughputOptions {
  readonly rounds: number;
  readonly say: (text: string) => void;
}

export async function snapshotThroughput(
  cloud: BenchCloud,
  guest: PreparedGuest,
  { rounds, say }: ThroughputOptions,
): Promise<Row[]> {
  const ours: number[] = [];
  const durable: number[] = [];
  const notDurable: number[] = [];
  const copies: number[] = [];
  let size = 0;
  for (let round = 0; round < rounds; round++) {
    say(`copies, round ${round + 1} of ${rounds}`);
    const bare = await convertAndCopy(cloud, guest);
    durable.push(bare.durableMs);
    notDurable.push(bare.copiedMs);
    await output('sync', []);
    const before = allocatedBytes(cloud.dir);
    const largest = watchMost(() => allocatedBytes(cloud.dir), SAMPLE_MS);
    const begun = performance.now();
    const image = await cloud.snapshot(guest.id, 'bench');
    size = (await cloud.untilImageActive(image)).size;
    ours.push(performance.now() - begun);
    copies.push((largest() - before) / size);
    await cloud.untilStatus(guest.id, 'ACTIVE');
    await cloud.removeImage(image);
  }
  const ratio = median(durable) / median(ours);
  const how = `image of ${mib(size)}, POST → active, ${rounds} rounds in turns, sync before each`;
  return [
    {
      what: 'snapshot: disk → active image',
      ours: durations(ours),
      baseline: durations(durable),
      ratio,
      goal: `≥ ${GOAL} of the speed`,
      met: ratio >= GOAL,
      how: `${how}, medians; best against best ${(least(durable) / least(ours)).toFixed(2)}; baseline: qemu-img convert -U, cp into the store's folder, fsync of the copy (no hashes)`,
    },
    {
      what: 'the same, baseline without fsync',
      ours: durations(ours),
      baseline: durations(notDurable),
      ratio: median(notDurable) / median(ours),
      how: `${how}; the fsync alone took ${duration(median(durable.map((ms, at) => ms - (notDurable[at] ?? ms))))}`,
    },
    {
      what: 'copies of the data on disk during a snapshot',
      ours: `${(1 + Math.max(...copies)).toFixed(2)} (the guest's disk and ${Math.max(...copies).toFixed(2)} of an image)`,
      goal: 'never 3',
      met: Math.max(...copies) < 1.5,
      how: `allocated blocks below images, instances and image-cache, each file once, every ${SAMPLE_MS} ms`,
    },
  ];
}

async function convertAndCopy(cloud: BenchCloud, guest: PreparedGuest) {
  const converted = join(cloud.dir, 'instances', 'converted.qcow2');
  const copy = join(cloud.dir, 'images', 'copy.partial');
  const disk = join(guest.dir, 'disk.qcow2');
  await output('sync', []);
  try {
    const copiedMs = await timed(async () => {
      await output('qemu-img', ['convert', '-U', '-f', 'qcow2', '-O', 'qcow2', disk, converted]);
      await output('cp', [converted, copy]);
    });
    return { copiedMs, durableMs: copiedMs + (await timed(() => output('sync', [copy]))) };
  } finally {
    await Promise.all([rm(converted, { force: true }), rm(copy, { force: true })]);
  }
}

/** Bytes that the files below take on the disk; one with several names counts once. */
function allocatedBytes(dir: string): number {
  const seen = new Map<number, number>();
  const walk = (path: string) => {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      const below = join(path, entry.name);
      try {
        if (entry.isDirectory()) walk(below);
        else if (entry.isFile()) {
          const { ino, blocks } = lstatSync(below);
          seen.set(ino, blocks * 512);
        }
      } catch {
        // Renamed or removed while we looked; the next look sees it.
      }
    }
  };
  for (const name of ['images', 'instances', 'image-cache']) walk(join(dir, name));
  return [...seen.values()].reduce((sum, bytes) => sum + bytes, 0);
}
