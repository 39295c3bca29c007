/**
 * Decisions and claims on PostgreSQL by one, two and four schedulers at once, each in a process of its own, over more and more hosts: what one
 * takes, and how many there are in a second. All of them like the same host best, so this is where they meet most.
 */
import { fileURLToPath } from 'node:url';
import { openPostgres } from '#db/postgres.ts';
import { PostgresCluster } from '#local/postgres.ts';
import { output } from './lib/child.ts';
import type { Benchmark, Row } from './lib/row.ts';
import { addHosts } from './lib/simulated-hosts.ts';
import { duration, median, perSecond } from './lib/stats.ts';

const HOSTS = [10, 100, 1_000, 10_000];
const SCHEDULERS = [1, 2, 4];
/** For all to have started and read the hosts. */
const HEAD_START_MS = 6_000;
const SCRIPT = fileURLToPath(new URL('processes/claimer.ts', import.meta.url));

export const schedulerClaims: Benchmark = {
  name: 'scheduler-claims',
  async run({ quick, say }) {
    const claims = quick ? 50 : 200;
    const figures = SCHEDULERS.map((): Figure[] => []);
    for (const hosts of HOSTS) {
      await using database = await PostgresCluster.create();
      const url = database.url('postgres');
      const db = await openPostgres(url);
      await addHosts(db, hosts);
      await db.close();
      for (const [at, schedulers] of SCHEDULERS.entries()) {
        say(`${hosts} hosts, ${schedulers} at once`);
        figures[at]?.push(await measure(url, schedulers, claims));
      }
    }
    return SCHEDULERS.map((schedulers, at) => row(schedulers, figures[at] ?? [], claims));
  },
};

interface Figure {
  readonly ms: number;
  readonly perSecond: number;
}

async function measure(url: string, schedulers: number, claims: number): Promise<Figure> {
  const words = [SCRIPT, url, String(claims), String(Date.now() + HEAD_START_MS)];
  const printed = await Promise.all(Array.from({ length: schedulers }, () => output(process.execPath, words)));
  const times = printed.map((text) => JSON.parse(text) as number[]);
  const longest = Math.max(...times.map((each) => each.reduce((sum, ms) => sum + ms)));
  return { ms: median(times.flat()), perSecond: (schedulers * claims) / (longest / 1000) };
}

function row(schedulers: number, figures: readonly Figure[], claims: number): Row {
  return {
    what: `decision and claim on PostgreSQL, ${schedulers} at once, at ${HOSTS.join(' · ')} hosts`,
    ours: figures.map(({ ms }) => duration(ms)).join(' · '),
    baseline: figures.map((figure) => perSecond(figure.perSecond)).join(' · '),
    ratio: (figures.at(-1)?.ms ?? Number.NaN) / (figures[0]?.ms ?? Number.NaN),
    how: `median of ${claims} claims of each, and claims per second of all; the ratio is of the largest cloud to the smallest`,
  };
}
