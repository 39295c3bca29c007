/**
 * How many servers a second the control plane can launch: simulated guests on 100 simulated hosts, the database on disk
 * and durable. From the first request until every server is ACTIVE, once by requests for many servers each and once by a
 * request per server over 32 connections.
 */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { guestImagePath } from '#cli/demo/guest-image.ts';
import { type BenchCloud, startCloud } from './lib/cloud.ts';
import type { Benchmark, Row } from './lib/row.ts';
import { duration, median, most, perSecond, timed } from './lib/stats.ts';

const HOSTS = 100;
const CONNECTIONS = 32;
const PER_BATCH = 100;
const GOAL = 200;
const LOOK_MS = 50;

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
      // One after the other: the emptiest host is preferred, so each of them gets one.
      const first: string[] = [];
      for (let host = 0; host < HOSTS; host++) first.push((await cloud.launchActive(image)).id);
      await cloud.removeServers(first);
      for (let round = 0; round < rounds; round++) {
        syncs.push(await syncMs(scratch));
        say(`${servers} launches in batches, round ${round + 1} of ${rounds}`);
        batches.push(await rate(cloud, servers, () => inBatches(cloud, image, servers)));
        say(`${servers} launches one by one, round ${round + 1} of ${rounds}`);
        singles.push(await rate(cloud, servers, () => oneByOne(cloud, image, servers)));
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
      row('one by one', singles, `one request a server, ${CONNECTIONS} connections`),
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

async function rate(cloud: BenchCloud, servers: number, launch: () => Promise<void>): Promise<number> {
  const begun = performance.now();
  await launch();
  for (;;) {
    if ((await count(cloud, 'BUILD')) === 0) break;
    await delay(LOOK_MS);
  }
  const seconds = (performance.now() - begun) / 1000;
  const ids = await idsOf(cloud, 'ACTIVE');
  if (ids.length !== servers) throw new Error(`${ids.length} of ${servers} servers are ACTIVE`);
  await cloud.removeServers(ids);
  return servers / seconds;
}

async function inBatches(cloud: BenchCloud, image: string, servers: number): Promise<void> {
  for (let done = 0; done < servers; done += PER_BATCH) await cloud.launch(image, { count: PER_BATCH });
}

async function oneByOne(cloud: BenchCloud, image: string, servers: number): Promise<void> {
  let left = servers;
  const connection = async () => {
    while (left > 0) {
      left -= 1;
      await cloud.launch(image);
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, connection));
}

async function count(cloud: BenchCloud, status: string): Promise<number> {
  const path = `/compute/v2.1/servers?status=${status}&limit=1`;
  return (await cloud.request<{ servers: unknown[] }>('GET', path)).body.servers.length;
}

async function idsOf(cloud: BenchCloud, status: string): Promise<string[]> {
  const ids: string[] = [];
  for (;;) {
    const marker = ids.length === 0 ? '' : `&marker=${ids.at(-1)}`;
    const path = `/compute/v2.1/servers?status=${status}&limit=1000${marker}`;
    const { servers } = (await cloud.request<{ servers: { id: string }[] }>('GET', path)).body;
    ids.push(...servers.map(({ id }) => id));
    if (servers.length < 1000) return ids;
  }
}
