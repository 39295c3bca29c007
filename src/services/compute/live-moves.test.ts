/** A guest goes from agent to agent while it runs: its bases as files, the rest as streams, and nothing but by an offer. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import pino from 'pino';
import { ImageClient } from '#http/image-client.ts';
import { Backups } from './backups.ts';
import { ChannelServer } from './channel/channel-server.ts';
import type { ByteProgress, GuestSpec } from './driver/driver.ts';
import { fakeDriver } from './driver/fake/fake-driver.ts';
import { writeEmptyQcow2 } from './driver/qcow2.ts';
import { GuestMoves } from './guest-moves.ts';
import { GuestWork } from './guest-work.ts';
import { computeHandlers } from './handlers.ts';
import type { HostNetworks } from './host-networks.ts';
import { ImageCache } from './image-cache.ts';
import { LiveMoves } from './live-moves.ts';
import { SharedDisks } from './shared-disks.ts';

const log = pino({ level: 'silent' });
const serverId = '0d6cbd68-4d0e-4d3f-8f29-5f3f6a3c0005';
const imageId = '0d6cbd68-4d0e-4d3f-8f29-5f3f6a3c0006';

/** What one agent serves. */
async function host(home: string) {
  const instancesDir = join(home, 'instances');
  const cacheDir = join(home, 'cache');
  for (const dir of [instancesDir, cacheDir]) await mkdir(dir, { recursive: true });
  const driver = fakeDriver({ instancesDir });
  const images = new ImageClient({ url: () => 'http://127.0.0.1:1', token: async () => '', name: 'test' });
  const cache = new ImageCache({ dir: cacheDir, images, sharedStore: null });
  const channel = new ChannelServer({ listen: { host: '127.0.0.1', port: 0 }, log });
  const backups = new Backups({ dir: join(home, 'staging'), isStaging: true, driver, images });
  const shared = new SharedDisks({ dir: null, host: basename(home) });
  const linkDir = join(home, '..', 'links');
  const all = {
    driver,
    cache,
    channel,
    backups,
    instancesDir,
    linkDir,
    shared,
    sharedBases: null,
    // Its guests have no ports.
    networks: { ensure: async () => undefined } as unknown as HostNetworks,
    log,
  };
  const handlers = computeHandlers(all, new GuestWork(all), new GuestMoves(all), new LiveMoves(all));
  return { ...all, handlers, dir: join(instancesDir, serverId), cacheDir };
}

/** Two hosts, a guest that runs on the first. */
async function cell() {
  const root = await mkdtemp(join(tmpdir(), 'micronova-live-'));
  await mkdir(join(root, 'links'));
  const [source, target] = [await host(join(root, 'source')), await host(join(root, 'target'))];
  const base = join(source.dir, `base-${imageId}`);
  await mkdir(source.dir, { recursive: true });
  await writeEmptyQcow2(base, 2 ** 20, null);
  const spec: GuestSpec = {
    id: serverId,
    name: 'guest',
    vcpus: 2,
    memoryMib: 64,
    disk: { name: 'disk', base, baseFormat: 'qcow2', sizeBytes: 2 ** 21 },
    otherDisks: [],
    nics: [{ mac: '52:54:00:00:00:05' }],
    configDrive: { 'openstack/latest/meta_data.json': '{}' },
    guestAgent: true,
  };
  await source.driver.create(spec);
  await source.driver.start(serverId);
  const seen: ByteProgress[] = [];
  const context = (signal = new AbortController().signal) =>
    ({ signal, onProgress: (progress: ByteProgress) => seen.push(progress) }) as never;
  const received = async () => {
    const { offer, guest } = await source.handlers.offerBases({ serverId }, context());
    const { offer: streams } = await target.handlers.receiveLive({ serverId, offer, guest }, context());
    await source.handlers.withdrawOffer({ offerId: offer.id }, context());
    return streams;
  };
  return {
    source,
    target,
    spec,
    seen,
    context,
    received,
    async [Symbol.asyncDispose]() {
      for (const each of [source, target]) {
        await each.channel.close();
        await each.driver.close({ stopGuests: true });
      }
      await rm(root, { recursive: true });
    },
  };
}

test('a guest goes from agent to agent with what is on its disk, and executes where it is told to', async () => {
  await using made = await cell();
  const { source, target, spec, seen, context } = made;
  const offer = await made.received();
  const disks = await source.driver.disks(serverId);
  assert.deepEqual(await target.driver.disks(serverId), { disk: '' });
  await source.handlers.migrateLive({ serverId, offer }, context());
  assert.equal(seen.at(-1)?.done, seen.at(-1)?.total);
  assert.deepEqual(await target.driver.disks(serverId), disks);
  for (const { driver } of [source, target]) assert.equal((await driver.inspect(serverId)).state, 'paused');
  await target.handlers.startGuest({ serverId }, context());
  await source.handlers.destroyGuest({ serverId }, context());
  assert.equal((await target.driver.inspect(serverId)).state, 'running');
  const moved = { ...spec, disk: { ...spec.disk, base: join(target.dir, `base-${imageId}`) } };
  assert.deepEqual(await target.driver.spec(serverId), moved);
  const base = await stat(join(target.dir, `base-${imageId}`));
  const again = await target.handlers.offerBases({ serverId }, context());
  await assert.rejects(target.handlers.receiveLive({ serverId, ...again }, context()), /there is one already/);
  assert.deepEqual(await stat(join(target.dir, `base-${imageId}`)), base);
  assert.equal((await target.driver.inspect(serverId)).state, 'running');
});

test('a base that the host has in its cache does not come', async () => {
  await using made = await cell();
  const cached = join(made.target.cacheDir, imageId);
  await writeEmptyQcow2(cached, 2 ** 20, null);
  await made.received();
  assert.equal((await stat(join(made.target.dir, `base-${imageId}`))).ino, (await stat(cached)).ino);
});

test('cancelled, or without streams, the guest stays; received anew, it goes', async () => {
  await using made = await cell();
  const { source, target, context } = made;
  const first = await made.received();
  const abort = new AbortController();
  source.driver.setFault(serverId, { blockAt: ['migrate'] });
  const blocked = source.handlers.migrateLive({ serverId, offer: first }, context(abort.signal));
  abort.abort();
  await assert.rejects(blocked, { code: 'hypervisorFailed' });
  source.driver.setFault(serverId, null);
  await target.handlers.withdrawOffer({ offerId: first.id }, context());
  await assert.rejects(source.handlers.migrateLive({ serverId, offer: first }, context()), /does not give disks/);
  assert.deepEqual(await source.driver.inspect(serverId), { id: serverId, state: 'running' });
  await source.handlers.migrateLive({ serverId, offer: await made.received() }, context());
  await target.handlers.pauseGuest({ serverId }, context());
  assert.deepEqual(await target.driver.inspect(serverId), { id: serverId, state: 'paused' });
});

test('a move that takes too long is hurried, not behind it', async () => {
  await using made = await cell();
  const { source, context } = made;
  const offer = await made.received();
  await assert.rejects(source.handlers.hurryMigration({ serverId }, context()), /is not being sent/);
  const moving = Promise.withResolvers<void>();
  source.driver.setFault(serverId, { delayMs: 3_600_000 });
  const slow = { signal: new AbortController().signal, onProgress: () => moving.resolve() } as never;
  const migrating = source.handlers.migrateLive({ serverId, offer }, slow);
  await moving.promise;
  source.driver.setFault(serverId, null);
  await source.handlers.hurryMigration({ serverId }, context());
  await migrating;
  assert.match((await source.driver.inspect(serverId)).reason ?? '', /gone/);
});

test('only what executes or could go on moves live, and no file is taken that leads elsewhere', async () => {
  await using made = await cell();
  const { source, target, context } = made;
  const { offer, guest } = await source.handlers.offerBases({ serverId }, context());
  const astray = { ...guest, disks: guest.disks.map((disk) => ({ ...disk, base: '../secret' })) };
  await assert.rejects(target.handlers.receiveLive({ serverId, offer, guest: astray }, context()), {
    code: 'badRequest',
  });
  assert.deepEqual(await readdir(target.instancesDir), []);
  await source.driver.stop(serverId, 0);
  await assert.rejects(source.handlers.offerBases({ serverId }, context()), { code: 'conflict' });
});
