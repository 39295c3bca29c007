/** The agent as a conductor hears it: it registers, it beats, and after a long silence it registers again. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import pino from 'pino';
import { memoryTransport } from '#bus/memory.ts';
import { Rpc } from '#bus/rpc.ts';
import { conductorContract } from '#contracts/conductor.ts';
import { ImageClient } from '#http/image-client.ts';
import { ComputeAgent } from './agent.ts';
import { Backups } from './backups.ts';
import { ChannelServer } from './channel/channel-server.ts';
import { fakeDriver } from './driver/fake/fake-driver.ts';
import { ImageCache } from './image-cache.ts';
import { noPlane } from './network/no-plane.ts';
import { SharedDisks } from './shared-disks.ts';

const log = pino({ level: 'silent' });
const turns = async () => {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
};

test('a host that was away is told what was deleted meanwhile, and removes it', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval', 'Date'], now: 1_000_000 });
  const home = await mkdtemp(join(tmpdir(), 'micronova-agent-'));
  t.after(() => rm(home, { recursive: true }));
  const driver = fakeDriver({ instancesDir: home, persist: false });
  const disk = { name: 'disk', base: '/none', baseFormat: 'qcow2', sizeBytes: 1 } as const;
  const guest = {
    name: 'g',
    vcpus: 1,
    memoryMib: 1,
    disk,
    nics: [],
    configDrive: null,
    otherDisks: [],
    guestAgent: false,
  };
  for (const id of ['kept', 'deleted']) await driver.create({ ...guest, id });

  const rpc = new Rpc({ transport: memoryTransport(), log });
  const heard: string[] = [];
  let deleted: string[] = [];
  const unused = async () => ({});
  const handlers = {
    operationReady: unused,
    awaitStep: unused,
    imageAccess: async () => ({ url: '', token: '' }),
    guestChanged: unused,
    guestsFound: unused,
    guestMetadata: async () => ({ facts: null }),
    hostNetwork: async () => ({ revision: 'r', plan: { networks: [], groups: [], routers: [] } }),
    heartbeat: async () => {
      heard.push('beat');
      return {};
    },
    registerHost: async ({ guests }: { guests: { serverId: string }[] }) => {
      heard.push(`register ${guests.map(({ serverId }) => serverId).toSorted()}`);
      return { deleted };
    },
  };
  await rpc.serve(conductorContract, handlers, { name: 'nova-conductor', log });
  const images = new ImageClient({ url: () => 'http://127.0.0.1:1', token: async () => '', name: 'test' });
  const agent = new ComputeAgent({
    networkAddress: null,
    host: 'here',
    availabilityZone: 'nova',
    driver,
    rpc,
    cache: new ImageCache({ dir: join(home, 'cache'), images, sharedStore: null }),
    backups: new Backups({ dir: join(home, 'staging'), isStaging: true, driver, images }),
    channel: new ChannelServer({ listen: { host: '127.0.0.1', port: 0 }, log }),
    instancesDir: home,
    plane: noPlane('a test'),
    linkDir: null,
    shared: new SharedDisks({ dir: null, host: 'host' }),
    sharedBases: null,
    log,
  });
  await agent.start();
  t.mock.timers.tick(10_000);
  await turns();
  assert.deepEqual(heard, ['register deleted,kept', 'beat']);

  deleted = ['deleted'];
  // The machine slept: time went on, and no timer ran.
  t.mock.timers.setTime(1_000_000 + 120_000);
  t.mock.timers.tick(10_000);
  await turns();
  assert.deepEqual(heard.filter((each) => each !== 'beat').slice(1), ['register deleted,kept']);
  assert.equal((await driver.inspect('deleted')).state, 'absent');
  assert.equal((await driver.inspect('kept')).state, 'stopped');
  await agent.close({ stopGuests: false });
  await rpc.close();
});
