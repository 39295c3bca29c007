/**
 * Reading through the API: the list of 50 servers with everything about them, against a bare `node:http` server in
 * another process that answers with the very same bytes and headers.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startScript } from './lib/child.ts';
import { type BenchCloud, startCloud } from './lib/cloud.ts';
import { fill } from './lib/fill.ts';
import { exchange } from './lib/http.ts';
import { LOAD_HOW, requestsPerSecond } from './lib/load.ts';
import type { Benchmark, Row } from './lib/row.ts';
import { median, most, perSecond } from './lib/stats.ts';

const SERVERS = 50;
/** Node's server adds these by itself. */
const OWN_HEADERS = new Set(['date', 'connection', 'keep-alive', 'transfer-encoding']);

export const apiThroughput: Benchmark = {
  name: 'api-throughput',
  async run({ quick, scratch, say }) {
    const cloud = await startCloud(join(scratch, 'cloud'), { driver: 'fake' });
    try {
      say(`${SERVERS} simulated servers`);
      await fill(cloud, SERVERS);
      const seconds = quick ? 2 : 4;
      const rounds = quick ? 3 : 5;
      const rows = [await compare(cloud, scratch, { seconds, rounds, say })];
      say('load while servers change');
      rows.push(await whileChanging(cloud, seconds));
      return rows;
    } finally {
      await cloud.close();
    }
  },
};

async function compare(
  cloud: BenchCloud,
  scratch: string,
  { seconds, rounds, say }: { seconds: number; rounds: number; say: (text: string) => void },
): Promise<Row> {
  const url = `${cloud.servers}/detail`;
  const { headers, text } = await exchange('GET', url, { headers: cloud.headers });
  const same = Object.entries(headers).filter(([name]) => !OWN_HEADERS.has(name));
  const recorded = join(scratch, 'answer.json');
  await writeFile(recorded, JSON.stringify({ headers: Object.fromEntries(same), body: text }));
  const raw = await startScript('raw-server.ts', ['bytes', recorded]);
  const ours: number[] = [];
  const theirs: number[] = [];
  try {
    const rawUrl = raw.ready.slice('ready '.length);
    for (const target of [rawUrl, url]) await requestsPerSecond(target, cloud.headers, 1); // warm
    for (let round = 0; round < rounds; round++) {
      say(`load, round ${round + 1} of ${rounds}`);
      theirs.push(await requestsPerSecond(rawUrl, cloud.headers, seconds));
      ours.push(await requestsPerSecond(url, cloud.headers, seconds));
    }
  } finally {
    await raw.end();
  }
  // Each round has its own pair: what else the machine did, it did to both.
  const ratio = median(ours.map((rate, round) => rate / (theirs[round] ?? Number.NaN)));
  return {
    what: `GET /servers/detail, ${SERVERS} servers`,
    ours: `${perSecond(median(ours))} (best ${perSecond(most(ours))})`,
    baseline: `${perSecond(median(theirs))} (best ${perSecond(most(theirs))})`,
    ratio,
    goal: '≥ 0.5',
    met: ratio >= 0.5,
    how: `${LOAD_HOW}; baseline: node:http in its own process sends the same ${text.length} bytes and headers; median of ${rounds} pairs`,
  };
}

const CHANGES_PER_SECOND = 50;

/** The same list while servers change under it: nothing of the last answer can be used again as a whole. */
async function whileChanging(cloud: BenchCloud, seconds: number): Promise<Row> {
  const { body } = await cloud.request<{ servers: { id: string }[] }>('GET', '/compute/v2.1/servers');
  const ids = body.servers.map(({ id }) => id);
  let changes = 0;
  const pending = new Set<Promise<unknown>>();
  const timer = setInterval(() => {
    const path = `/compute/v2.1/servers/${ids[changes % ids.length]}`;
    const change = cloud.request('PUT', path, { server: { description: `change ${changes++}` } });
    pending.add(change.finally(() => pending.delete(change)));
  }, 1000 / CHANGES_PER_SECOND);
  try {
    const rate = await requestsPerSecond(`${cloud.servers}/detail`, cloud.headers, seconds);
    return {
      what: `the same, while ${CHANGES_PER_SECOND} servers a second change`,
      ours: perSecond(rate),
      how: `${LOAD_HOW}, ${seconds} s; the changes are made one by one through the API (${changes} in all)`,
    };
  } finally {
    clearInterval(timer);
    await Promise.all(pending);
  }
}
