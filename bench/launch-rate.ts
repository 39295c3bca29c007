/**
 * How many servers a second the control plane can launch: simulated guests on 100 simulated hosts, the database on disk
 * and durable. From the first request until every server is ACTIVE, once by requests for many servers each and once by a
 * request per server over 32 connections.
 */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { guestImagePath } from '#cli/demo/guest-image.ts';
import { type BenchCloud, startCloud } from './lib/cloud.ts';
import { bringImageToHosts, launchesPerSecond, ONE_BY_ONE_HOW, oneByOne } from './lib/launches.ts';
import type { Benchmark, Row } from './lib/row.ts';
import { duration, median, most, perSecond, timed } from './lib/stats.ts';

const HOSTS = 100;
const PER_BATCH = 100;
const GOAL = 200;

export const launchRate: Benchmark = {
  name: 'launch-rate',
  async run({ quick, scratch, say }) {
    const servers = quick ? 400 : 1_000;
    const rounds = quick ? 1 : 2;
    const cloud = await startCloud(join(scratch, 'cloud'), { driver: 'fake', hosts: HOSTS });
    const batches: number[] = [];
    const singles: number[] = [];
    const syncs: number[] = [];
    try {
      const image = await cloud.addImage(guestImagePath(), 'guest', 'qcow2');
      say('the image on every host');
      await bringImageToHosts(cloud, image, HOSTS);
      for (let round = 0; round < rounds; round++) {
        syncs.push(await syncMs(scratch));
        say(`${servers} launches in batches, round ${round + 1} of ${rounds}`);
        batches.push(await launchesPerSecond(cloud, servers, () => inBatches(cloud, image, servers)));
        say(`${servers} launches one by one, round ${round + 1} of ${rounds}`);
        singles.push(await launchesPerSecond(cloud, servers, () => oneByOne([cloud], image, servers)));
      }
    } finally {
      await cloud.close();
    }
    const row = (what: string, all: readonly number[], how: string): Row => ({
      what: `launches per second, ${what}`,
      ours: `${perSecond(median(all))} (best ${perSecond(most(all))}, n=${all.length})`,
      baseline: `one fdatasync takes ${duration(median(syncs))}`,
      goal: `> ${GOAL}/s`,
      met: median(all) > GOAL,
      how: `${servers} servers on ${HOSTS} simulated hosts, SQLite, from the first request until all are ACTIVE; the rate hangs on how long this disk takes to make 4 KiB durable; ${how}`,
    });
    return [
      row('in batches', batches, `requests for ${PER_BATCH} servers each`),
      row('one by one', singles, ONE_BY_ONE_HOW),
    ];
  },
};

/** How long this disk takes, now, for what a commit of the database needs at least. */
async function syncMs(dir: string): Promise<number> {
  const file = await open(join(dir, 'probe'), 'w');
  const all: number[] = [];
  try {
    for (let count = 0; count < 50; count++) {
      await file.write(Buffer.alloc(4096));
      all.push(await timed(() => file.datasync()));
    }
  } finally {
    await file.close();
  }
  return median(all);
}

async function inBatches(cloud: BenchCloud, image: string, servers: number): Promise<void> {
  for (let done = 0; done < servers; done += PER_BATCH) await cloud.launch(image, { count: PER_BATCH });
}
