/**
 * The cloud under fire, in a process of its own, so that a crash is seen as one and its event loop is its own.
 *
 * Started by `spawn-cloud.ts` with the data folder as argument; answers to messages say how it is.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { loadConfig } from '#config/config.ts';
import { openLogs } from '#observe/log.ts';
import { identityDeps } from '#services/identity/identity-deps.ts';
import { issueServiceToken } from '#services/identity/service-token.ts';
import { startCloud } from '../../src/main.ts';

/** What the process says about itself. */
export interface Vitals {
  /** Longest turn of the event loop in CPU time of its thread: what others on the machine do does not count. */
  readonly longestTurnMs: number;
  /** The same by the clock on the wall. */
  readonly longestDelayMs: number;
  readonly rssMib: number;
  readonly openOperations: number;
  readonly stuckServers: number;
}

const [data = '', ...settings] = process.argv.slice(2);
const flags = Object.fromEntries(settings.map((each) => each.split('=')).map(([key, value]) => [key, numberOr(value)]));
const cloud = await startCloud(loadConfig({ flags: { data, listen: '127.0.0.1:0', driver: 'fake', ...flags } }));

const delay = monitorEventLoopDelay({ resolution: 5 });
let longestTurn = 0;
let cpu = process.threadCpuUsage();
const sampler = setInterval(() => {
  const now = process.threadCpuUsage();
  // Of what ran since the last sample, at most this much was one turn.
  longestTurn = Math.max(longestTurn, now.user + now.system - cpu.user - cpu.system);
  cpu = now;
}, 1);

process.on('message', async (message: 'measure' | 'vitals' | 'close') => {
  if (message === 'measure') {
    longestTurn = 0;
    delay.reset();
    delay.enable();
    process.send?.('measuring');
  } else if (message === 'vitals') process.send?.(await vitals());
  else {
    clearInterval(sampler);
    await cloud.close({ stopGuests: true });
    process.disconnect?.();
  }
});
process.send?.({ url: cloud.url, expiredToken: await expiredToken() });

async function vitals(): Promise<Vitals> {
  const { queries } = cloud.db;
  const open = await queries.selectFrom('operations').select('id').where('finished_at', 'is', null).execute();
  const busy = await queries
    .selectFrom('servers')
    .select('id')
    .where('deleted_at', 'is', null)
    .where('task_state', 'is not', null)
    .execute();
  return {
    longestTurnMs: longestTurn / 1000,
    longestDelayMs: delay.max / 1e6,
    rssMib: process.memoryUsage.rss() / 2 ** 20,
    openOperations: open.length,
    stuckServers: busy.length,
  };
}

/** A genuine token of a day ago. */
async function expiredToken(): Promise<string> {
  const log = openLogs({ level: 'silent', to: 'stderr' }).of('keystone');
  const day = 86_400_000;
  const deps = identityDeps({ database: cloud.db, clock: () => Date.now() - day, log, tokenLifetimeMs: 60_000 });
  return (await issueServiceToken(deps)).token;
}

function numberOr(text: string | undefined): string | number | undefined {
  return text !== undefined && /^-?\d+$/.test(text) ? Number(text) : text;
}
