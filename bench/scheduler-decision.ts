/**
 * How the scheduler's decision grows with the cloud. First the decision alone: filters and weighers over the index of
 * hosts. Then all that a launch waits for: the decision, the claim of the room in the database on disk, and the host's new
 * place in the index; the scheduler's regular look at all hosts is in it as often as it falls due.
 */
import { join } from 'node:path';
import { openSqlite } from '#db/sqlite.ts';
import { hostNamed } from '#services/scheduler/host-harness.ts';
import { HostIndex } from '#services/scheduler/host-index.ts';
import { pick } from '#services/scheduler/pick.ts';
import { weightOf } from '#services/scheduler/weighers/weight.ts';
import { claimer, REQUEST } from './lib/claim.ts';
import type { Benchmark, Row } from './lib/row.ts';
import { addHosts, ROOM } from './lib/simulated-hosts.ts';
import { duration, least, median } from './lib/stats.ts';

const HOSTS = [10, 100, 1_000, 10_000];
const DECISIONS = 5_000;
const CLAIMS = 20;
/** From 10 hosts to 10,000, a thousand times as many. */
const NEARLY_FLAT = 3;

export const schedulerDecision: Benchmark = {
  name: 'scheduler-decision',
  async run({ quick, scratch, say }) {
    const rounds = quick ? 5 : 15;
    // The sizes take turns in each round, so that a busy moment hits all of them.
    const decisions = HOSTS.map((): number[] => []);
    for (let round = 0; round < rounds; round++)
      for (const [at, count] of HOSTS.entries()) decisions[at]?.push(decide(count));
    const claimers = await Promise.all(HOSTS.map((count) => claimerOver(join(scratch, `${count}.sqlite`), count)));
    const claims = HOSTS.map((): number[] => []);
    for (let round = 0; round < rounds; round++) {
      say(`claims, round ${round + 1} of ${rounds}`);
      for (const [at, { claim }] of claimers.entries())
        for (let count = 0; count < CLAIMS; count++) claims[at]?.push(await claim());
    }
    for (const { close } of claimers) await close();
    return [
      row('scheduler decision', decisions.map(least), `mean of ${DECISIONS} decisions, best of ${rounds} rounds`),
      row(
        'decision and claim',
        claims.map(median),
        `median of ${CLAIMS * rounds} single claims, each committed to disk`,
      ),
    ];
  },
};

function row(what: string, figures: readonly number[], how: string): Row {
  const ratio = (figures.at(-1) ?? Number.NaN) / (figures[0] ?? Number.NaN);
  return {
    what: `${what} at ${HOSTS.join(' · ')} hosts`,
    ours: figures.map(duration).join(' · '),
    ratio,
    goal: `nearly flat (≤ ${NEARLY_FLAT}× from 10 to 10,000)`,
    met: ratio <= NEARLY_FLAT,
    how: `${how}, on the scheduler's own modules; the ratio is of the largest cloud to the smallest`,
  };
}

/** Mean time of one decision, in ms. */
function decide(count: number): number {
  const now = Date.now();
  const index = new HostIndex(weightOf);
  index.replaceAll(Array.from({ length: count }, (_, at) => hostNamed(`host-${at}`, { bookable: ROOM, seenAt: now })));
  const none: ReadonlySet<string> = new Set();
  const begun = performance.now();
  for (let decision = 0; decision < DECISIONS; decision++) {
    if (!pick(index.bestFirst(), REQUEST, now, none).host) throw new Error('there is room, and none was found');
  }
  return (performance.now() - begun) / DECISIONS;
}

async function claimerOver(path: string, count: number) {
  const db = await openSqlite(path);
  await addHosts(db, count);
  return claimer(db);
}
