/**
 * Hostile and careless requests at every route of every service, through real HTTP: nothing may break, nothing may leak,
 * and every refusal must be in the service's own dialect.
 *
 *   MICRONOVA_FUZZ_SEED=n      the same requests again (a failure prints its seed)
 *   MICRONOVA_FUZZ_REQUESTS=n  how many
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../eventually.ts';
import { type Shot, shoot } from './mutate.ts';
import { prng } from './prng.ts';
import { allRoutes, type Target } from './routes.ts';
import { type SpawnedCloud, spawnCloud } from './spawn-cloud.ts';
import { complaints } from './verdict.ts';
import { Connection, describe, type Reply } from './wire.ts';
import { learn, makeWorld, type Who, type World } from './world.ts';

const SEED = Number(process.env.MICRONOVA_FUZZ_SEED ?? Date.now() % 2 ** 31);
const REQUESTS = Number(process.env.MICRONOVA_FUZZ_REQUESTS ?? 15_000);
const CONNECTIONS = 8;
const QUOTAS = { quota_instances: 60, quota_cores: 200, quota_ram_mib: 200_000, quota_key_pairs: 200 };
const MAX_TURN_MS = 250;
const MAX_RSS_MIB = 700;

interface Tally {
  good: number;
  readonly classes: Record<string, number>;
}

test('no request breaks a service or learns what it may not', { timeout: 600_000 }, async (t) => {
  await using cloud = await spawnCloud(QUOTAS);
  const world = await makeWorld(cloud);
  const targets = allRoutes();
  await stock(world, cloud);
  await cloud.measure();
  const began = performance.now();
  const tallies = new Map(targets.map(({ name }) => [name, { good: 0, classes: {} } as Tally]));
  const failures: string[] = [];
  const slowest = { ms: 0, what: '' };

  let next = 0;
  const worker = async () => {
    const connection = new Connection(cloud.url);
    while (next < REQUESTS && failures.length < 20) {
      const index = next++;
      const target = targets[index % targets.length];
      if (!target) throw new Error('there are no routes');
      const shot = shoot(target, world, prng(SEED, index));
      const sent = performance.now();
      const reply = await connection.send(shot.wire);
      const ms = performance.now() - sent;
      if (ms > slowest.ms) Object.assign(slowest, { ms, what: describe(shot.wire) });
      const bad = judge(target, shot, reply, cloud);
      if (bad.length > 0) failures.push(report(index, shot, reply, bad));
      count(tallies.get(target.name), target, reply);
      if (reply) settle(world, target, shot, reply);
    }
    connection.close();
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, worker));
  const seconds = (performance.now() - began) / 1000;

  const total: Record<string, number> = {};
  for (const { classes } of tallies.values())
    for (const [name, times] of Object.entries(classes)) total[name] = (total[name] ?? 0) + times;
  const vitals = await cloud.vitals();
  t.diagnostic(`seed ${SEED}: ${next} requests in ${seconds.toFixed(1)} s: ${JSON.stringify(total)}`);
  t.diagnostic(`vitals: ${JSON.stringify(vitals)}; slowest ${slowest.ms.toFixed(0)} ms: ${slowest.what.slice(0, 300)}`);
  for (const [name, { classes }] of tallies) t.diagnostic(`  ${name} ${JSON.stringify(classes)}`);

  assert.deepEqual(failures, [], failures.join('\n\n'));
  const unreached = [...tallies].filter(([, { good }]) => good === 0).map(([name]) => name);
  assert.deepEqual(unreached, [], 'every route succeeds at least once: give these a recipe');
  if (REQUESTS >= 10_000) {
    const unrefused = [...tallies].filter(([, { classes }]) => (classes['4xx'] ?? 0) < 3).map(([name]) => name);
    assert.deepEqual(unrefused, [], 'every route refuses something');
  }
  assert.ok(vitals.longestTurnMs < MAX_TURN_MS, `the event loop was busy for ${vitals.longestTurnMs} ms at a time`);
  assert.ok(vitals.rssMib < MAX_RSS_MIB, `${vitals.rssMib} MiB`);
  await settlesDown(cloud, world);
  await works(world);
  assert.equal(cloud.exit(), undefined);
  await cloud.close();
  assertLogsAreClean(cloud, world);
});

/** Some of everything, so that the first requests find what they need. */
async function stock(world: World, cloud: SpawnedCloud): Promise<void> {
  const random = prng(SEED, -2);
  const wanted = [
    ...['servers', 'flavors', 'os-keypairs', 'users', 'projects', 'roles', 'images', 'networks', 'subnets', 'ports'],
    ...['routers', 'floatingips', 'security-groups', 'security-group-rules'],
  ];
  const makers = allRoutes().filter(
    ({ route }) => route.method === 'POST' && wanted.includes(route.path.split('/')[2] ?? ''),
  );
  const connection = new Connection(world.url);
  for (let round = 0; round < 60; round++) {
    for (const target of makers) {
      if (target.route.path.includes(':')) continue;
      const shot = shoot(target, world, random);
      const reply = shot.mutations.length === 0 ? await connection.send(shot.wire) : null;
      if (reply) settle(world, target, shot, reply);
    }
  }
  for (let count = 0; count < 15; count++) world.pools.image.push(await activeImage(world));
  for (let count = 0; count < 40; count++) {
    const id = await activeImage(world);
    await world.call('demo', 'POST', `/image/v2/images/${id}/members`, { member: world.projects.admin });
    world.pools.memberImage.push(id);
  }
  await stockGrants(world);
  await stockPorts(world);
  await stockInFlight(world, cloud);
  connection.close();
}

async function stockGrants(world: World): Promise<void> {
  for (let count = 0; count < 60; count++) {
    const role = { name: `granted-${count}` };
    const made = (await (await world.call('admin', 'POST', '/identity/v3/roles', { role })).json()) as {
      role: { id: string };
    };
    const [project, user] = [world.projects.neighbour, world.changer];
    await world.call('admin', 'PUT', `/identity/v3/projects/${project}/users/${user}/roles/${made.role.id}`);
    world.pools.grant.push(`${project}/${user}/${made.role.id}`);
  }
}

/** Servers and requests that never end by themselves. */
const held: string[] = [];

/** Servers that are being suspended for ever, each to be cancelled once. */
async function stockInFlight(world: World, cloud: SpawnedCloud): Promise<void> {
  for (let count = 0; count < 20; count++) {
    const id = await runningServer(world, `held-${count}`, 1);
    await cloud.hold(id);
    const begun = await world.call('demo', 'POST', `/compute/v2.1/servers/${id}/action`, { suspend: null });
    assert.equal(begun.status, 202);
    world.pools.liveMigration.push(`${id}/${await cloud.pretendLive(id)}`);
    held.push(`${id}/${begun.headers.get('x-compute-request-id')}`);
  }
  world.pools.inFlight.push(...held);
}

/** Servers with more cards than they need, each to be looked at and taken out once. */
async function stockPorts(world: World): Promise<void> {
  for (let count = 0; count < 4; count++) {
    const id = await runningServer(world, `joined-${count}`, 6);
    const answer = await world.call('demo', 'GET', `/compute/v2.1/servers/${id}/os-interface`);
    const { interfaceAttachments } = (await answer.json()) as { interfaceAttachments: { port_id: string }[] };
    world.pools.serverPort.push(...interfaceAttachments.map((each) => `${id}/${each.port_id}`));
  }
}

async function runningServer(world: World, name: string, cards: number): Promise<string> {
  const networks = Array.from({ length: cards }, () => ({ uuid: world.networks.network }));
  const body = { server: { name, imageRef: world.bootImage, flavorRef: '42', networks } };
  const made = await world.call('demo', 'POST', '/compute/v2.1/servers', body);
  const { server } = (await made.json()) as { server: { id: string } };
  await eventually('the server runs', async () => {
    const shown = await world.call('demo', 'GET', `/compute/v2.1/servers/${server.id}`);
    return ((await shown.json()) as { server: { status: string } }).server.status === 'ACTIVE';
  });
  return server.id;
}

async function activeImage(world: World, who: Who = 'demo'): Promise<string> {
  const record = { name: 'made', disk_format: 'raw', container_format: 'bare', visibility: 'shared' };
  const { id } = (await (await world.call(who, 'POST', '/image/v2/images', record)).json()) as { id: string };
  const type = { 'content-type': 'application/octet-stream' };
  await world.call(who, 'PUT', `/image/v2/images/${id}/file`, Buffer.from('data'), type);
  return id;
}

function judge({ service }: Target, shot: Shot, reply: Reply | null, cloud: SpawnedCloud): string[] {
  const ended = cloud.exit();
  if (ended !== undefined) return [ended];
  if (reply) return complaints(shot, service, reply);
  return shot.isBrokenHttp ? [] : ['no answer'];
}

function report(index: number, shot: Shot, reply: Reply | null, bad: readonly string[]): string {
  const answer = reply ? `${reply.status} ${reply.body.toString('utf8').slice(0, 500)}` : 'none';
  return `#${index} of seed ${SEED} [${shot.mutations.join(', ')}] ${bad.join('; ')}\n${describe(shot.wire)}\n  → ${answer}`;
}

function count(tally: Tally | undefined, { route }: Target, reply: Reply | null): void {
  if (!tally) return;
  const name = reply ? `${Math.floor(reply.status / 100)}xx` : 'none';
  tally.classes[name] = (tally.classes[name] ?? 0) + 1;
  if (reply && (reply.status < 400 || reply.status === route.success)) tally.good += 1;
}

/** Keeps the pools filled with what was made. */
function settle(world: World, target: Target, shot: Shot, { status, headers, body }: Reply): void {
  if (shot.wire.method !== target.route.method || shot.who === 'neighbour') return;
  learn(world, target.name, status, headers, body.toString('utf8'));
  if (target.name === 'PUT /image/v2/images/:id/file' && status === 204)
    world.pools.image.push(shot.wire.target.split('/')[4] ?? '');
}

async function settlesDown(cloud: SpawnedCloud, world: World): Promise<void> {
  // Those whose cancelling was broken on the way.
  for (const each of held) {
    const [id, requestId] = each.split('/');
    await world.call('demo', 'DELETE', `/compute/v2.1/servers/${id}/os-instance-actions/${requestId}`);
  }
  const isQuiet = async () => {
    const { openOperations, stuckServers } = await cloud.vitals();
    return openOperations === 0 && stuckServers === 0;
  };
  await eventually('no operation is open, no server has a task', isQuiet, { withinMs: 60_000 });
}

/** After all that, an ordinary request does what it always did; the neighbour's quota is not used up. */
async function works(world: World): Promise<void> {
  await inService(world);
  const flavor = { id: 'after', name: 'after', ram: 128, vcpus: 1, disk: 1 };
  await world.call('admin', 'POST', '/compute/v2.1/flavors', { flavor });
  const imageRef = await activeImage(world, 'neighbour');
  // The neighbour has many networks by now, and would have to say which.
  const body = { server: { name: 'after', imageRef, flavorRef: flavor.id, networks: 'none' } };
  const version = { 'openstack-api-version': 'compute 2.37' };
  const made = await world.call('neighbour', 'POST', '/compute/v2.1/servers', body, version);
  assert.equal(made.status, 202, await made.clone().text());
  const { server } = (await made.json()) as { server: { id: string } };
  await eventually('the server runs', async () => {
    const response = await world.call('neighbour', 'GET', `/compute/v2.1/servers/${server.id}`);
    const shown = (await response.json()) as { server: { status: string } };
    assert.notEqual(shown.server.status, 'ERROR');
    return shown.server.status === 'ACTIVE';
  });
}

/** What administrators have broken at random: flavors and hosts are theirs to take away. */
async function inService(world: World): Promise<void> {
  const listed = await world.call('admin', 'GET', '/compute/v2.1/os-services?binary=nova-compute');
  const { services } = (await listed.json()) as { services: { host: string }[] };
  for (const { host } of services) {
    const service = { host, binary: 'nova-compute' };
    await world.call('admin', 'PUT', '/compute/v2.1/os-services/enable', service);
    await world.call('admin', 'PUT', '/compute/v2.1/os-services/force-down', { ...service, forced_down: false });
  }
}

function assertLogsAreClean(cloud: SpawnedCloud, world: World): void {
  const lines = cloud.logs().split('\n');
  const defects = lines.filter((line) => line.includes('"level":"error"'));
  assert.deepEqual(defects.slice(0, 10), [], 'errors in the logs');
  for (const secret of [...Object.values(world.tokens), ...Object.values(cloud.passwords), 'Secret-pass-1'])
    assert.ok(!lines.some((line) => line.includes(secret)), 'a secret is in the logs');
}
