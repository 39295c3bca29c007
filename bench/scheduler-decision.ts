/**
 * How the scheduler's decision grows with the cloud. First the decision alone: filters and weighers over the index of
 * hosts. Then all that a launch waits for: the decision, the claim of the room in the database on disk, and the host's new
 * place in the index; the scheduler's regular look at all hosts is in it as often as it falls due.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import pino from 'pino';
import { memoryTransport } from '#bus/memory.ts';
import { Rpc } from '#bus/rpc.ts';
import { registerHost } from '#db/repo/hosts.ts';
import { openSqlite } from '#db/sqlite.ts';
import { HostIndex } from '#services/scheduler/host-index.ts';
import type { HostState, PlacementRequest } from '#services/scheduler/host-state.ts';
import { pick } from '#services/scheduler/pick.ts';
import { Scheduler } from '#services/scheduler/scheduler.ts';
import { spread } from '#services/scheduler/weighers/spread.ts';
import type { Benchmark, Row } from './lib/row.ts';
import { duration, least, median, timed } from './lib/stats.ts';

const HOSTS = [10, 100, 1_000, 10_000];
const DECISIONS = 5_000;
const CLAIMS = 20;
/** From 10 hosts to 10,000, a thousand times as many. */
const NEARLY_FLAT = 3;

const REQUEST: PlacementRequest = {
  resources: { vcpus: 1, memoryMib: 512, diskGib: 1 },
  availabilityZone: 'nova',
  host: null,
  imageProperties: {},
};

export const schedulerDecision: Benchmark = {
  name: 'scheduler-decision',
  async run({ quick, scratch, say }) {
    const rounds = quick ? 5 : 15;
    // The sizes take turns in each round, so that a busy moment hits all of them.
    const decisions = HOSTS.map((): number[] => []);
    for (let round = 0; round < rounds; round++)
      for (const [at, count] of HOSTS.entries()) decisions[at]?.push(decide(count));
    const claimers = await Promise.all(HOSTS.map((count) => claimer(join(scratch, `${count}.sqlite`), count)));
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
  const index = new HostIndex(spread);
  index.replaceAll(Array.from({ length: count }, (_, at) => host(`host-${at}`)));
  const now = Date.now();
  const none: ReadonlySet<string> = new Set();
  const begun = performance.now();
  for (let decision = 0; decision < DECISIONS; decision++) {
    if (!pick(index.bestFirst(), REQUEST, now, none).host) throw new Error('there is room, and none was found');
  }
  return (performance.now() - begun) / DECISIONS;
}

/** A scheduler over a record with so many hosts. */
async function claimer(path: string, count: number) {
  const db = await openSqlite(path);
  const { vcpus, memoryMib, diskGib } = host('any').bookable;
  const description = { availability_zone: 'nova', vcpus, memory_mib: memoryMib, disk_gib: diskGib };
  const machine = { hypervisor_type: 'QEMU', hypervisor_version: 7_002_000, cpu_model: 'any', cpu_arch: 'x86_64' };
  const tomorrow = Date.now() + 86_400_000; // no heartbeats come here
  await db.transaction(async (trx) => {
    for (let at = 0; at < count; at++)
      await registerHost(trx, { name: `host-${at}`, ...description, ...machine, contract_version: 1 }, tomorrow);
  });
  const log = pino({ level: 'silent' });
  const transport = memoryTransport();
  const scheduler = new Scheduler({ db, rpc: new Rpc({ transport, log }), log });
  return {
    claim: () => timed(() => scheduler.claimHost({ ...REQUEST, serverId: randomUUID() })),
    close: async () => {
      await transport.close();
      await db.close();
    },
  };
}

function host(name: string): HostState {
  return {
    name,
    availabilityZone: 'nova',
    enabled: true,
    seenAt: Date.now(),
    cpuArch: 'x86_64',
    hypervisorType: 'QEMU',
    bookable: { vcpus: 4096, memoryMib: 8_388_608, diskGib: 65_536 },
    used: { vcpus: 0, memoryMib: 0, diskGib: 0 },
    generation: 1,
  };
}
