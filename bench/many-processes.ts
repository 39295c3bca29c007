/**
 * The same cloud as one process on SQLite, and as one, two and four processes on PostgreSQL and RabbitMQ: how many servers a second it
 * launches on 100 simulated hosts, how many lists of 50 servers it answers, and what the processors were busy with. Everything is on
 * this machine, the load too, so this shows what a launch costs and where it goes rather than how far many machines would go.
 */
import { join } from 'node:path';
import { guestImagePath } from '#cli/demo/guest-image.ts';
import { PostgresCluster } from '#local/postgres.ts';
import { Broker } from '#local/rabbitmq.ts';
import { type BenchCloud, startCloud, startMember } from './lib/cloud.ts';
import { watchCpu } from './lib/cpu.ts';
import { fill } from './lib/fill.ts';
import { bringImageToHosts, launchesPerSecond, ONE_BY_ONE_HOW, oneByOne } from './lib/launches.ts';
import { LOAD_HOW, requestsPerSecond } from './lib/load.ts';
import type { BenchContext, Benchmark, Row } from './lib/row.ts';
import { duration, median, perSecond } from './lib/stats.ts';

const HOSTS = 100;
const SERVERS = 50;
const PROCESSES = [1, 2, 4];

export const manyProcesses: Benchmark = {
  name: 'many-processes',
  async run(context) {
    const alone = await measure('SQLite, one process', context, async (dir, parts) => {
      const cloud = await startCloud(dir, { driver: 'fake', hosts: HOSTS });
      parts.defer(() => cloud.close());
      return [cloud];
    });
    const rows: Row[] = [...rowsOf(alone, alone)];
    for (const count of PROCESSES) {
      const what = `PostgreSQL and RabbitMQ, ${count} process${count === 1 ? '' : 'es'}`;
      rows.push(...rowsOf(await measure(what, context, (dir, parts) => members(dir, count, parts)), alone));
    }
    return rows;
  },
};

type Enter = (dir: string, parts: AsyncDisposableStack) => Promise<readonly BenchCloud[]>;

/** A cloud of so many processes, each of which has every role and its share of the hosts. */
async function members(dir: string, count: number, parts: AsyncDisposableStack): Promise<readonly BenchCloud[]> {
  const database = parts.use(await PostgresCluster.create());
  const broker = parts.use(await Broker.start());
  const login = join(dir, '1');
  const shared = { database: database.url('postgres'), bus: broker.url(), images: join(dir, 'images'), login };
  const entries: BenchCloud[] = [];
  for (let index = 1; index <= count; index++) {
    const member = await startMember(join(dir, `${index}`), `member-${index}`, shared, HOSTS / count);
    parts.defer(() => member.close());
    entries.push(member);
  }
  return entries;
}

interface Figures {
  readonly what: string;
  readonly launches: readonly number[];
  readonly launchCpu: Readonly<Record<string, number>>;
  readonly launched: number;
  readonly requests: readonly number[];
}

async function measure(what: string, { quick, scratch, say }: BenchContext, enter: Enter): Promise<Figures> {
  const servers = quick ? 200 : 1_000;
  const rounds = quick ? 1 : 2;
  await using parts = new AsyncDisposableStack();
  const entries = await enter(join(scratch, what.replaceAll(' ', '-')), parts);
  const [first] = entries;
  if (!first) throw new Error('a cloud without an entry');
  say(`${what}: the image on every host`);
  const image = await first.addImage(guestImagePath(), 'guest', 'qcow2');
  await bringImageToHosts(first, image, HOSTS);
  const launches: number[] = [];
  const sums: Record<string, number> = {};
  for (let round = 0; round < rounds; round++) {
    say(`${what}: ${servers} launches, round ${round + 1} of ${rounds}`);
    const used = watchCpu();
    const launch = () => oneByOne(entries, image, servers);
    launches.push(await launchesPerSecond(first, servers, launch, () => add(sums, used())));
  }
  say(`${what}: lists of ${SERVERS} servers`);
  await fill(first, SERVERS);
  const requests: number[] = [];
  for (let round = 0; round < rounds; round++) requests.push(await listsPerSecond(entries, quick ? 2 : 4));
  return { what, launches, launchCpu: sums, launched: servers * rounds, requests };
}

/** Load on all entries at the same time. */
async function listsPerSecond(entries: readonly BenchCloud[], seconds: number): Promise<number> {
  const load = (each: BenchCloud) => requestsPerSecond(`${each.servers}/detail`, each.headers, seconds);
  return (await Promise.all(entries.map(load))).reduce((sum, rate) => sum + rate);
}

function add(sums: Record<string, number>, more: Readonly<Record<string, number>>): void {
  for (const [who, seconds] of Object.entries(more)) sums[who] = (sums[who] ?? 0) + seconds;
}

function rowsOf(figures: Figures, alone: Figures): Row[] {
  const { what, launches, launchCpu, launched, requests } = figures;
  const cost = Object.entries(launchCpu).map(([who, seconds]) => `${who} ${duration((seconds / launched) * 1000)}`);
  return [
    {
      what: `launches per second: ${what}`,
      ours: perSecond(median(launches)),
      baseline: perSecond(median(alone.launches)),
      ratio: median(launches) / median(alone.launches),
      how: `${HOSTS} simulated hosts, ${ONE_BY_ONE_HOW}; processor time of one launch: ${cost.join(', ')}`,
    },
    {
      what: `GET /servers/detail, ${SERVERS} servers: ${what}`,
      ours: perSecond(median(requests)),
      baseline: perSecond(median(alone.requests)),
      ratio: median(requests) / median(alone.requests),
      how: `${LOAD_HOW}, on each process`,
    },
  ];
}
