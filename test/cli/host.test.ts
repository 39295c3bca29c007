/**
 * `micronova host` against a cloud of two simulated hosts: what an operator sees, and a host that is emptied, also in more than
 * one attempt.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Drain } from '../../src/cli/drain.ts';
import { OpenStack } from '../../src/cli/openstack.ts';
import { type TestCloud, testCloud } from '../cloud.ts';
import type { TestServer } from '../server.ts';

const run = promisify(execFile);

/** What the command prints; its failure too, marked by a first line. */
async function micronova(cloud: TestCloud, ...args: string[]): Promise<string> {
  const command = ['src/cli/main.ts', 'host', ...args, '--data', cloud.data];
  try {
    return (await run(process.execPath, command, { env: { PATH: process.env.PATH, NO_COLOR: '1' } })).stdout;
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    return `failed\n${stdout}${stderr}`;
  }
}

async function hostsOf(cloud: TestCloud): Promise<[string, string]> {
  const rows = await cloud.db.queries.selectFrom('hosts').select('name').orderBy('name').execute();
  const [one, two] = rows.map(({ name }) => name);
  if (one === undefined || two === undefined) throw new Error('the cloud has not two hosts');
  return [one, two];
}

const hostOf = async (cloud: TestCloud, { id }: TestServer) =>
  (await cloud.db.queries.selectFrom('servers').select('host').where('id', '=', id).executeTakeFirstOrThrow()).host;

const act = async (cloud: TestCloud, { id }: TestServer, json: object) =>
  (await cloud.as('admin')).ok('POST', `/compute/v2.1/servers/${id}/action`, { json });

test('hosts are listed, taken out of service, said to be dead, and put back', { timeout: 120_000 }, async () => {
  await using cloud = await testCloud({ driver: 'fake', hosts: 2 });
  const [one] = await hostsOf(cloud);
  const line = async () => (await micronova(cloud, 'ls')).split('\n').find((each) => each.startsWith(one)) ?? '';
  assert.match(await line(), /^\S+ +up +enabled +nova +0\/\d+ +0\/\d+ +0$/);
  assert.match(await micronova(cloud, 'disable', one, '--reason', 'new disks'), /gets no new servers/);
  assert.match(await line(), / up +disabled .* new disks$/);
  await micronova(cloud, 'down', one);
  assert.match(await line(), / down \(forced\) +disabled /);
  await micronova(cloud, 'up', one);
  await micronova(cloud, 'enable', one);
  assert.match(await line(), / up +enabled +nova .* 0$/);
  assert.match(await micronova(cloud, 'disable', 'none'), /^failed\nmicronova: there is no host none; there are: /);
});

test('a host is emptied as far as it can be, and the next run goes on', { timeout: 120_000 }, async () => {
  await using cloud = await testCloud({ driver: 'fake', hosts: 2 });
  const [one, two] = await hostsOf(cloud);
  await micronova(cloud, 'disable', two);
  const running = await cloud.server({ name: 'running' }).active();
  const off = await cloud.server({ name: 'off' }).active();
  const paused = await cloud.server({ name: 'paused' }).active();
  const half = await cloud.server({ name: 'half' }).active();
  await act(cloud, off, { 'os-stop': null });
  await off.is('SHUTOFF');
  await act(cloud, paused, { pause: null });
  await paused.is('PAUSED');
  await micronova(cloud, 'enable', two);
  // As an earlier run leaves it that ended in the middle.
  await act(cloud, half, { migrate: null });
  await half.is('VERIFY_RESIZE');

  const first = await micronova(cloud, 'drain', one);
  assert.match(first, /^failed\n/);
  assert.match(first, /3 moved, 1 left/);
  assert.match(first, /paused +it is PAUSED; only ACTIVE and SHUTOFF servers can be moved/);
  assert.match(first, /is not empty; 'micronova host drain \S+' goes on where it stopped/);
  await running.is('ACTIVE');
  await off.is('SHUTOFF');
  await half.is('ACTIVE');
  for (const server of [running, off, half]) assert.equal(await hostOf(cloud, server), two);
  assert.equal(await hostOf(cloud, paused), one);

  await act(cloud, paused, { unpause: null });
  await paused.is('ACTIVE');
  assert.match(await micronova(cloud, 'drain', one), /1 moved, 0 left/);
  assert.equal(await hostOf(cloud, paused), two);
  const held = await cloud.db.queries.selectFrom('allocations').select('host').execute();
  assert.deepEqual(new Set(held.map(({ host }) => host)), new Set([two]));
  assert.match(await micronova(cloud, 'ls'), /disabled .* micronova host drain/);
});

test('what cannot be moved says why, and what waits for its owner is left to them', { timeout: 120_000 }, async () => {
  await using cloud = await testCloud({ driver: 'fake', hosts: 2 });
  const [one, two] = await hostsOf(cloud);
  const said: string[] = [];
  const drain = async (host: string) => {
    const operator = await OpenStack.connect(cloud.data, 'micronova-admin');
    return new Drain(operator, host, { say: (line) => said.push(line), pollMs: 10 }).run();
  };
  await micronova(cloud, 'disable', two);
  const resized = await cloud.server({ name: 'resized' }).active();
  const stuck = await cloud.server({ name: 'stuck' }).active();
  await micronova(cloud, 'enable', two);
  await micronova(cloud, 'disable', one);
  await act(cloud, resized, { resize: { flavorRef: '84' } });
  await resized.is('VERIFY_RESIZE');
  assert.equal(await hostOf(cloud, resized), two);
  await micronova(cloud, 'disable', two);
  const { moved, left } = await drain(one);
  assert.equal(moved, 0);
  assert.deepEqual(
    left.map(({ id, why }) => [id, /No valid host|resize from here waits/.exec(why)?.[0]]),
    [
      [stuck.id, 'No valid host'],
      [resized.id, 'resize from here waits'],
    ],
  );
  assert.ok(said.some((line) => line.startsWith(`stuck (${stuck.id}) stays: `)));
  await stuck.is('ACTIVE');
  const other = await drain(two);
  assert.deepEqual(
    other.left.map(({ id, why }) => [id, why]),
    [[resized.id, 'its move to here waits to be confirmed or reverted by its owner']],
  );
  await act(cloud, resized, { revertResize: null });
  await resized.is('ACTIVE');
});
