/**
 * The cloud under fire, in a process of its own, so that a crash is seen as one and its event loop is its own.
 *
 * Started by `spawn-cloud.ts` with the data folder as argument; answers to messages say how it is.
 */
import { randomUUID } from 'node:crypto';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { loadConfig } from '#config/config.ts';
import { registerHost } from '#db/repo/hosts.ts';
import { beatService } from '#db/repo/services.ts';
import { openLogs } from '#observe/log.ts';
import { type FakeDriver, fakeDriver } from '#services/compute/driver/fake/fake-driver.ts';
import { identityDeps } from '#services/identity/identity-deps.ts';
import { issueServiceToken } from '#services/identity/service-token.ts';
import { startCloud } from '../../src/main.ts';
import { eventually } from '../eventually.ts';

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

/** A guest whose suspension never ends, so that there is something to cancel. */
export interface Hold {
  readonly hold: string;
}

/** A server whose open operation is to pass for a live migration that copies. */
export interface Pretend {
  readonly live: string;
}

const [data = '', ...settings] = process.argv.slice(2);
const flags = Object.fromEntries(settings.map((each) => each.split('=')).map(([key, value]) => [key, numberOr(value)]));
const drivers: FakeDriver[] = [];
const cloud = await startCloud(loadConfig({ flags: { data, listen: '127.0.0.1:0', driver: 'fake', ...flags } }), {
  driver: ({ instancesDir }) => {
    const driver = fakeDriver({ instancesDir });
    // What is pretended to be live is not being sent.
    driver.hurry = async () => {};
    drivers.push(driver);
    return driver;
  },
});

const delay = monitorEventLoopDelay({ resolution: 5 });
let longestTurn = 0;
let cpu = process.threadCpuUsage();
const sampler = setInterval(() => {
  const now = process.threadCpuUsage();
  // Of what ran since the last sample, at most this much was one turn.
  longestTurn = Math.max(longestTurn, now.user + now.system - cpu.user - cpu.system);
  cpu = now;
}, 1);

process.on('message', async (message: 'measure' | 'vitals' | 'close' | Hold | Pretend) => {
  if (typeof message === 'object' && 'live' in message) process.send?.(await pretendLive(message.live));
  else if (typeof message === 'object') {
    for (const driver of drivers) driver.setFault(message.hold, { blockAt: ['suspend'] });
    process.send?.('held');
  } else if (message === 'measure') {
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
/** Hosts and processes that are only in the record, long silent: to be taken out of service and forgotten. */
await cloud.db.transaction(async (trx) => {
  const machine = { hypervisor_type: 'fake', hypervisor_version: 1, cpu_model: 'fake', cpu_arch: 'x86_64' };
  const room = { vcpus: 1, memory_mib: 1, disk_gib: 1, availability_zone: 'nova', contract_version: 1 };
  for (let count = 0; count < 10; count++) await registerHost(trx, { name: `spare-${count}`, ...machine, ...room }, 0);
  for (let count = 0; count < 100; count++)
    await beatService(trx, { role: 'nova-conductor', host: `gone-${count}` }, 0);
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

/** Answers the number of the migration. */
async function pretendLive(serverId: string): Promise<number> {
  const { queries } = cloud.db;
  const server = await queries.selectFrom('servers').selectAll().where('id', '=', serverId).executeTakeFirstOrThrow();
  // The step that has begun has said what the task is, and says nothing more.
  await eventually('the operation has begun', async () => {
    const journal = queries
      .selectFrom('journal')
      .select('seq')
      .where('operation_id', '=', server.operation_id ?? '');
    return (await journal.execute()).length > 0;
  });
  await queries.updateTable('servers').set({ task_state: 'migrating' }).where('id', '=', serverId).execute();
  const id = (await queries.selectFrom('server_migrations').select('id').execute()).length + 1;
  const { project_id, user_id, operation_id, flavor } = server;
  const host = server.host ?? '';
  const moved = {
    source_host: host,
    dest_host: null,
    old_flavor: flavor,
    new_flavor: flavor,
    created_at: 1,
    updated_at: 1,
  };
  const what = { type: 'live-migration', status: 'running', server_id: serverId } as const;
  await queries
    .insertInto('server_migrations')
    .values({ id, uuid: randomUUID(), project_id, user_id, operation_id, ...moved, ...what })
    .execute();
  return id;
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
