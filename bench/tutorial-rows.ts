/**
 * The operations of the tutorial through the API, one by one, beside what a real OpenStack took for them. Those figures were
 * measured once, elsewhere, on a machine of the same kind (2 cores, software emulation) and are quoted; they have no part in
 * a goal.
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { guestImagePath } from '#cli/demo/guest-image.ts';
import { type BenchCloud, logIn, startCloud } from './lib/cloud.ts';
import { LOAD_HOW, requestsPerSecond } from './lib/load.ts';
import type { Benchmark, Row } from './lib/row.ts';
import { duration, median, perSecond, timed } from './lib/stats.ts';

/** OpenStack Zed as Debian 12 packages it, all services on one machine, 2 workers each, libvirt with QEMU. Published. */
const ZED = {
  token: '236 ms',
  show: '56.7 ms',
  showRate: '33/s',
  listEmptyRate: '93/s',
  list50: '136 ms',
  list50Rate: '10.9/s',
  accepted: '118 ms',
  create: '2.29 s',
  snapshot: '1.75 s',
  remove: '0.91 s',
} as const;

const BOOT_MS = 6_000;
const SERVERS = 50;

export const tutorialRows: Benchmark = {
  name: 'tutorial-rows',
  async run({ quick, scratch, say }) {
    const samples = quick ? 10 : 30;
    const seconds = quick ? 1 : 4;
    say('reading');
    const reads = await onCloud(join(scratch, 'fake'), 'fake', (cloud) => reading(cloud, samples, seconds));
    const changes = await onCloud(join(scratch, 'qemu'), 'qemu', (cloud) => changing(cloud, quick ? 2 : 5, say));
    return [...reads, ...changes];
  },
};

async function onCloud(dir: string, driver: 'fake' | 'qemu', work: (cloud: BenchCloud) => Promise<Row[]>) {
  const cloud = await startCloud(dir, { driver });
  try {
    return await work(cloud);
  } finally {
    await cloud.close();
  }
}

async function reading(cloud: BenchCloud, samples: number, seconds: number): Promise<Row[]> {
  const list = '/compute/v2.1/servers/detail';
  const p50 = async (work: () => Promise<unknown>) => duration(median(await repeat(samples, () => timed(work))));
  const get = (path: string) => p50(() => cloud.request('GET', path));
  const rate = async (path: string) => perSecond(await requestsPerSecond(cloud.url + path, cloud.headers, seconds));
  const token = await p50(() => logIn(cloud.dir, cloud.url));
  const emptyRate = await rate(list);
  const image = await cloud.addImage(guestImagePath(), 'guest', 'qcow2');
  const { id } = await cloud.launchActive(image);
  await cloud.launch(image, { count: SERVERS - 1 });
  const { body } = await cloud.request<{ servers: { id: string }[] }>('GET', '/compute/v2.1/servers');
  for (const server of body.servers) await cloud.untilStatus(server.id, 'ACTIVE');
  const show = `/compute/v2.1/servers/${id}`;
  const one = `median of ${samples}, one after the other`;
  return [
    quoted('POST /v3/auth/tokens', token, ZED.token, one),
    quoted('GET /servers/{id}', await get(show), ZED.show, one),
    quoted('GET /servers/{id}, rate', await rate(show), ZED.showRate, LOAD_HOW),
    quoted('GET /servers/detail, empty, rate', emptyRate, ZED.listEmptyRate, LOAD_HOW),
    quoted(`GET /servers/detail, ${SERVERS} servers`, await get(list), ZED.list50, one),
    quoted(`GET /servers/detail, ${SERVERS} servers, rate`, await rate(list), ZED.list50Rate, LOAD_HOW),
  ];
}

async function changing(cloud: BenchCloud, rounds: number, say: (text: string) => void): Promise<Row[]> {
  const image = await cloud.addImage(guestImagePath(), 'guest', 'qcow2');
  const times = { accepted: [] as number[], create: [] as number[], snapshot: [] as number[], remove: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    say(`operations, round ${round + 1} of ${rounds}`);
    const begun = performance.now();
    const { id } = await cloud.launch(image);
    times.accepted.push(performance.now() - begun);
    await cloud.untilStatus(id, 'ACTIVE');
    times.create.push(performance.now() - begun);
    await delay(BOOT_MS); // the guest boots on, untimed
    let taken = '';
    const snapshot = await timed(async () => {
      taken = await cloud.snapshot(id, 'bench');
      await cloud.untilImageActive(taken);
    });
    times.snapshot.push(snapshot);
    await cloud.untilStatus(id, 'ACTIVE');
    times.remove.push(await timed(() => cloud.removeServers([id])));
    await cloud.removeImage(taken);
  }
  const how = `QEMU, m1.nano, no network, median of ${rounds}`;
  const row = (what: string, all: readonly number[], zed: string) => quoted(what, duration(median(all)), zed, how);
  return [
    row('POST /servers → 202', times.accepted, ZED.accepted),
    row('create → ACTIVE', times.create, ZED.create),
    row('snapshot of a near-empty guest → active', times.snapshot, ZED.snapshot),
    row('delete → 404', times.remove, ZED.remove),
  ];
}

async function repeat(count: number, work: () => Promise<number>): Promise<number[]> {
  const all: number[] = [];
  for (let done = 0; done < count; done++) all.push(await work());
  return all;
}

function quoted(what: string, ours: string, zed: string, how: string): Row {
  return { what, ours, baseline: `${zed} (Zed, quoted)`, how };
}
