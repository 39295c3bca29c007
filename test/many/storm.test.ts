/**
 * A constant load of operations on a hundred simulated hosts, while what a cloud stands on goes away and comes back: the broker
 * and the database restart, processes are killed, hosts are cut off, and messages come twice. Every operation that was accepted
 * ends; nothing is booked twice, stuck or left behind.
 *
 * `MICRONOVA_STORM_OPERATIONS` says how many; the figures of the whole storm are in docs/reference/scale.md.
 */
import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { emptyDisk } from '../cloud.ts';
import { eventually } from '../eventually.ts';
import { type Prng, prng } from '../fuzz/prng.ts';
import { TestServer } from '../server.ts';
import { CloudOfProcesses } from './cloud-of-processes.ts';

const OPERATIONS = Number(process.env.MICRONOVA_STORM_OPERATIONS ?? 1_200);
const SEED = Number(process.env.MICRONOVA_STORM_SEED ?? Math.floor(Math.random() * 2 ** 31));
const AGENTS = 4;
const HOSTS_EACH = 25;
const WORKERS = 90;
/** Servers that nobody uses. With them and with what moves hold the cloud is so full that some operations find no room. */
const IDLE = 80;
/** Two of these fill a simulated host. */
const HUGE = { id: 'huge', name: 'huge', ram: 100_000, vcpus: 1, disk: 1 };
const LARGER = { ...HUGE, id: 'larger', name: 'larger', ram: 110_000 };

/** What may be asked for in a status, by whom. */
const WISHES: Readonly<
  Record<string, readonly (readonly [action: string, argument: unknown, user: 'demo' | 'admin'])[]>
> = {
  ACTIVE: [
    ['os-stop', null, 'demo'],
    ['reboot', { type: 'HARD' }, 'demo'],
    ['pause', null, 'demo'],
    ['suspend', null, 'demo'],
    ['resize', { flavorRef: LARGER.id }, 'demo'],
    ['migrate', null, 'admin'],
    ['DELETE', null, 'demo'],
  ],
  SHUTOFF: [
    ['os-start', null, 'demo'],
    ['migrate', null, 'admin'],
    ['DELETE', null, 'demo'],
  ],
  PAUSED: [['unpause', null, 'demo']],
  SUSPENDED: [['resume', null, 'demo']],
  VERIFY_RESIZE: [
    ['confirmResize', null, 'demo'],
    ['revertResize', null, 'demo'],
  ],
  ERROR: [
    ['reboot', { type: 'HARD' }, 'demo'],
    ['DELETE', null, 'demo'],
  ],
};

test('a storm: every operation ends, nothing is booked twice, stuck or left behind', {
  timeout: 3_600_000,
}, async () => {
  await using cloud = await CloudOfProcesses.create();
  const doubling = { doubling: true };
  await cloud.add('api-1', 'api', {}, doubling);
  await Promise.all([
    cloud.add('api-2', 'api', {}, doubling),
    cloud.add('control-1', 'conductor,scheduler', {}, doubling),
    cloud.add('control-2', 'conductor,scheduler', {}, doubling),
    ...Array.from({ length: AGENTS }, (_, index) => addHosts(cloud, `agents-${index + 1}`)),
  ]);
  await cloud.open();
  const image = await prepare(cloud);
  for (let each = 0; each < IDLE; each++) await cloud.launch(image, { name: 'idle', flavorRef: HUGE.id });
  const storm = new Storm(cloud, image);
  const begun = performance.now();
  const faults = storm.strike();
  await Promise.all(Array.from({ length: WORKERS }, (_, index) => storm.work(`user-${index}`, prng(SEED, index))));
  storm.over.abort();
  await faults;
  const seconds = (performance.now() - begun) / 1000;
  await storm.calm();
  process.stdout.write(
    `seed ${SEED}: storm of ${await storm.summary()} in ${seconds.toFixed(0)} s; stuck 0, leaked 0, booked twice 0\n`,
  );
});

async function addHosts(cloud: CloudOfProcesses, name: string): Promise<void> {
  const data = join(cloud.dir, name);
  mkdirSync(join(cloud.dir, 'hosts'), { recursive: true });
  // Where the eye for leaks looks for hosts.
  for (let host = 1; host <= HOSTS_EACH; host++)
    symlinkSync(join(data, 'hosts', `${name}-${host}`), join(cloud.dir, 'hosts', `${name}-${host}`));
  await cloud.add(name, 'compute', { driver: 'fake', hosts: HOSTS_EACH }, { doubling: true, data });
}

async function prepare(cloud: CloudOfProcesses): Promise<string> {
  const admin = await cloud.as('admin');
  for (const flavor of [HUGE, LARGER]) await admin.ok('POST', '/compute/v2.1/flavors', { json: { flavor } });
  const demo = await cloud.as('demo');
  const wanted = { name: 'tiny', disk_format: 'qcow2', container_format: 'bare' };
  const { id } = await demo.ok<{ id: string }>('POST', '/image/v2/images', { json: wanted });
  await demo.ok('PUT', `/image/v2/images/${id}/file`, { bytes: await emptyDisk(cloud.dir) });
  return id;
}

class Storm {
  /** Aborted when the load is over: no more faults then. */
  readonly over = new AbortController();
  readonly #cloud: CloudOfProcesses;
  readonly #image: string;
  readonly #struck = new Map<string, number>();
  #asked = 0;

  constructor(cloud: CloudOfProcesses, image: string) {
    this.#cloud = cloud;
    this.#image = image;
  }

  /** A user launches a server and does with it what comes to mind, one server after the other, until enough was asked for. */
  async work(name: string, random: Prng): Promise<void> {
    let server: TestServer | null = null;
    while (this.#asked < OPERATIONS) {
      try {
        // Whoever did not hear the answer looks for what was accepted all the same, or it would hold its room for ever.
        server ??= await this.#find(name);
        if (!server) {
          server = await this.#cloud.launch(this.#image, { name, flavorRef: HUGE.id });
          this.#asked += 1;
        } else if (!(await this.#next(server, random))) server = null;
      } catch {
        // An api that was killed, a record that is away: the user tries again.
        await delay(100);
      }
    }
  }

  async #find(name: string): Promise<TestServer | null> {
    const demo = await this.#cloud.as('demo');
    const { servers } = await demo.ok<{ servers: { id: string }[] }>('GET', `/compute/v2.1/servers?name=^${name}$`);
    return servers[0] ? new TestServer(this.#cloud, 'demo', servers[0].id, '') : null;
  }

  /** Waits for its server to rest and asks for something else; false when it is gone. */
  async #next(server: TestServer, random: Prng): Promise<boolean> {
    const shown = await server.show();
    if (!shown) return false;
    const wishes = WISHES[shown.status];
    if (shown['OS-EXT-STS:task_state'] !== null || !wishes) {
      await delay(30);
      return true;
    }
    const [action, argument, user] = random.pick(wishes);
    if (action === 'DELETE') await server.delete();
    else {
      const { status } = await server.ask(action, argument, user);
      if (status >= 400) return true;
    }
    this.#asked += 1;
    return true;
  }

  /** One thing after the other goes away and comes back, as long as there is load. */
  async strike(): Promise<void> {
    const { signal } = this.over;
    const quiet = (ms: number) => delay(ms, undefined, { signal }).catch(() => undefined);
    const { broker, database, members } = this.#cloud;
    const killed = ['api-2', 'control-1', 'control-2', 'agents-1', 'agents-3'];
    for (let round = 0; !signal.aborted; round++) {
      const victim = killed[round % killed.length] ?? '';
      await quiet(3_000);
      if (signal.aborted) return;
      await this.#cloud.member(victim).kill();
      await this.#cloud.member(victim).start();
      this.#count(`${victim.replace(/-\d/, '')} killed`);
      await quiet(2_000);
      if (round % 3 === 0) {
        await broker.stop();
        await broker.start();
        this.#count('broker restarted');
      } else if (round % 3 === 1) {
        await database.stop();
        await database.start();
        this.#count('database restarted');
      } else {
        const cut = members.get('agents-2');
        cut?.signal('SIGSTOP');
        await quiet(8_000);
        cut?.signal('SIGCONT');
        this.#count('hosts cut off');
        await broker.cutConnections();
        this.#count('connections cut');
      }
    }
  }

  /** Everything is up again: what goes on ends, every server is deleted, and nothing is left. */
  async calm(): Promise<void> {
    const { queries } = this.#cloud.db;
    const open = () => queries.selectFrom('operations').selectAll().where('finished_at', 'is', null).execute();
    await eventually('every operation ended', async () => (await open()).length === 0, {
      withinMs: 240_000,
      state: async () => (await open()).map(({ id, kind, state, error }) => ({ id, kind, state, error })),
    });
    await this.#checkBookings();
    const demo = await this.#cloud.as('demo');
    const living = async () =>
      (await queries.selectFrom('servers').select('id').where('deleted_at', 'is', null).execute()).map(({ id }) => id);
    for (const id of await living()) await demo.request('DELETE', `/compute/v2.1/servers/${id}`);
    await eventually('every server is gone', async () => (await living()).length === 0, { withinMs: 120_000 });
    // What was left on a host that was away goes with its next report.
    let leaks: string[] = [];
    const isClean = async () => {
      leaks = await this.#cloud.leaks();
      return leaks.length === 0;
    };
    await eventually('nothing left behind', isClean, { withinMs: 90_000, state: async () => leaks.slice(0, 20) });
  }

  /** No host has promised more than it has. */
  async #checkBookings(): Promise<void> {
    const { queries } = this.#cloud.db;
    const used = await queries
      .selectFrom('allocations')
      .innerJoin('hosts', 'hosts.name', 'allocations.host')
      .select((e) => [
        'hosts.name',
        'hosts.memory_mib as has',
        e.fn.sum<number>('allocations.memory_mib').as('promised'),
      ])
      .groupBy(['hosts.name', 'hosts.memory_mib'])
      .execute();
    assert.deepEqual(
      used.filter(({ has, promised }) => Number(promised) > has),
      [],
    );
  }

  async summary(): Promise<string> {
    const { queries } = this.#cloud.db;
    const ended = await queries
      .selectFrom('operations')
      .select((e) => ['state', e.fn.countAll<number>().as('count')])
      .groupBy('state')
      .execute();
    const counts = ended.map(({ state, count }) => `${count} ${state}`).join(', ');
    const all = ended.reduce((sum, { count }) => sum + Number(count), 0);
    return `${all} operations on ${AGENTS * HOSTS_EACH} hosts (${counts}; ${[...this.#struck].map(([what, times]) => `${what} ${times}×`).join(', ')})`;
  }

  #count(what: string): void {
    this.#struck.set(what, (this.#struck.get(what) ?? 0) + 1);
  }
}
