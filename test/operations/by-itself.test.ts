/** The world changes by itself: the record follows, says why among the actions of the server, and destroys nothing on a guess. */
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { pino } from 'pino';
import { Overdue } from '#services/conductor/overdue.ts';
import { type TestCloud, testCloud } from '../cloud.ts';
import type { ShownAction, TestServer } from '../server.ts';
import { photoOf } from './photo.ts';

const fake = (config: Readonly<Record<string, string | number>> = {}) =>
  testCloud({ driver: 'fake', inMemory: true, config, overrides: { conductor: { lookEveryMs: 50 } } });

test('a guest that powers off, crashes or is halted by a full disk: status, power state and a reason', async () => {
  await using cloud = await fake();
  for (const [exit, status, power, action, reason] of [
    ['stopped', 'SHUTOFF', 4, 'stop', 'guest powered off'],
    ['crashed', 'SHUTOFF', 6, 'stop', 'the fake guest crashed'],
    ['paused', 'PAUSED', 3, 'pause', 'the host has no space left for its disk'],
  ] as const) {
    const server = await cloud.server().active();
    await cloud.driver.exit(server.id, exit);
    await server.is(status);
    assert.equal((await photoOf(cloud, server.id)).powerState, power);
    assert.deepEqual(await newestAction(cloud, server), { action, details: reason });
    await server.act(status === 'PAUSED' ? 'unpause' : 'os-start');
    await server.is('ACTIVE');
  }
});

test('a disk that vanishes: ERROR with the reason as its fault, and what is left of the guest stays', async () => {
  await using cloud = await fake();
  const server = await cloud.server().active();
  await cloud.driver.loseDisk(server.id, 'disk');
  // It may run on; nobody can say that it is broken before it ends.
  await cloud.driver.exit(server.id, 'crashed');
  const shown = await server.is('ERROR');
  assert.match(shown.fault?.message ?? '', /its disk disk is missing/);
  assert.ok((await readdir(join(cloud.data, 'instances', server.id))).includes('spec.json'));
  assert.match((await newestAction(cloud, server)).details ?? '', /its disk disk is missing/);
  // Neither a hard reboot nor a restart of the cloud makes an empty disk of it.
  const reboot = await server.act('reboot', { type: 'HARD' });
  assert.equal((await cloud.rested(reboot)).state, 'undone');
  await cloud.restart();
  assert.equal((await server.show())?.status, 'ERROR');
  assert.deepEqual((await photoOf(cloud, server.id)).disks, [['disk', 'missing']]);
  // A rebuild does: that is what it is for.
  await server.act('rebuild', { imageRef: await cloud.image() });
  await server.is('ACTIVE');
});

test('all files of a guest vanish: ERROR, and it can be deleted', async () => {
  await using cloud = await fake();
  const server = await cloud.server().active();
  await cloud.driver.destroy(server.id);
  await cloud.restart();
  const shown = await server.is('ERROR');
  assert.match(shown.fault?.message ?? '', /its files are gone from the host/);
  await server.delete();
  await server.isGone();
});

test('a host restarts: guests that ran are SHUTOFF and say why; what was off, paused or on disk is told apart', async () => {
  await using cloud = await fake();
  const [ran, off, asleep] = [
    await cloud.server().active(),
    await cloud.server().active(),
    await cloud.server().active(),
  ];
  await off.act('os-stop');
  await off.is('SHUTOFF');
  await asleep.act('suspend');
  await asleep.is('SUSPENDED');
  for (const { id } of [ran, off, asleep]) await cloud.driver.loseWithHost(id);
  await cloud.restart();
  await ran.is('SHUTOFF');
  assert.deepEqual(await newestAction(cloud, ran), {
    action: 'stop',
    details: 'the host restarted while the guest ran',
  });
  assert.equal((await off.show())?.status, 'SHUTOFF');
  assert.equal((await newestAction(cloud, off)).details, null, 'nothing happened to it by itself');
  await asleep.act('resume');
  await asleep.is('ACTIVE');
});

test('a host restarts: guests that ran are started again where the cloud wants it, and no others', async () => {
  await using cloud = await fake({ start_lost_guests: 'yes' });
  const [ran, off] = [await cloud.server().active(), await cloud.server().active()];
  await off.act('os-stop');
  await off.is('SHUTOFF');
  for (const { id } of [ran, off]) await cloud.driver.loseWithHost(id);
  await cloud.restart();
  await cloud.waitFor('it runs again', async () => (await photoOf(cloud, ran.id)).guest === 'running');
  await ran.is('ACTIVE');
  assert.equal((await off.show())?.status, 'SHUTOFF');
});

test('what was deleted softly ends for good once its time has come, and not before', async () => {
  await using cloud = await fake({ reclaim_seconds: 100_000 });
  const [kept, late] = [await cloud.server().active(), await cloud.server().active()];
  for (const server of [kept, late]) {
    await server.delete();
    await server.is('SOFT_DELETED');
  }
  await kept.act('restore');
  await kept.is('ACTIVE');
  await look(cloud, { reclaimMs: 100_000_000, inMs: 99_000_000 });
  assert.equal((await late.show())?.status, 'SOFT_DELETED');
  await look(cloud, { reclaimMs: 100_000_000, inMs: 101_000_000 });
  await late.isGone();
  assert.equal((await kept.show())?.status, 'ACTIVE');
  await kept.act('forceDelete');
  await kept.isGone();
});

test('a shelved server leaves its host once its time has come, and not before', async () => {
  await using cloud = await fake({ shelved_offload_seconds: 100_000 });
  const server = await cloud.server().active();
  await server.act('shelve');
  await server.is('SHELVED');
  await look(cloud, { offloadMs: 100_000_000, inMs: 99_000_000 });
  assert.equal((await server.show())?.status, 'SHELVED');
  await look(cloud, { offloadMs: 100_000_000, inMs: 101_000_000 });
  await server.is('SHELVED_OFFLOADED');
  await server.act('unshelve');
  await server.is('ACTIVE');
});

test('the image of a shelved server is deleted: offloading keeps the only copy, which unshelve brings back', async () => {
  await using cloud = await fake({ shelved_offload_seconds: -1 });
  const server = await cloud.server().active();
  await server.act('shelve');
  await server.is('SHELVED');
  const before = await photoOf(cloud, server.id);
  await (await cloud.as('demo')).ok('DELETE', `/image/v2/images/${await shelvedImage(cloud, server)}`);
  const offload = await server.act('shelveOffload', null, 'admin');
  const { state, error } = await cloud.rested(offload);
  assert.equal(state, 'undone');
  assert.match(error ?? '', /does not hold the server’s disk any more/);
  assert.deepEqual((await photoOf(cloud, server.id)).disks, before.disks);
  await server.act('unshelve');
  await server.is('ACTIVE');
  assert.deepEqual((await photoOf(cloud, server.id)).disks, before.disks);
});

test('the image of a server off its host is deleted: unshelve says so, the server stays, and can be deleted', async () => {
  await using cloud = await fake();
  const server = await cloud.server().active();
  await server.act('shelve');
  await server.is('SHELVED_OFFLOADED');
  await (await cloud.as('demo')).ok('DELETE', `/image/v2/images/${await shelvedImage(cloud, server)}`);
  const requestId = await server.act('unshelve');
  assert.equal((await cloud.rested(requestId)).state, 'undone');
  assert.match((await server.action(requestId)).message ?? '', /image/i);
  assert.equal((await server.show())?.status, 'SHELVED_OFFLOADED');
  await server.delete();
  await server.isGone();
});

test('a shelved image that its owner protected is kept, and holds nobody up', async () => {
  await using cloud = await fake();
  const demo = await cloud.as('demo');
  const [back, gone] = [await cloud.server().active(), await cloud.server().active()];
  const images: string[] = [];
  for (const server of [back, gone]) {
    await server.act('shelve');
    await server.is('SHELVED_OFFLOADED');
    images.push(await shelvedImage(cloud, server));
  }
  for (const image of images) await protect(cloud, image, true);
  const unshelve = await back.act('unshelve');
  assert.equal((await cloud.rested(unshelve)).state, 'done');
  await back.is('ACTIVE');
  await gone.delete();
  await gone.isGone();
  for (const image of images) {
    assert.equal((await demo.ok<{ status: string }>('GET', `/image/v2/images/${image}`)).status, 'active');
    await protect(cloud, image, false);
    await demo.ok('DELETE', `/image/v2/images/${image}`);
  }
});

test('the image of a server is deleted while it runs: the server does not need it', async () => {
  await using cloud = await fake();
  const image = await cloud.registerImage();
  const server = await cloud.server({ image }).active();
  await (await cloud.as('demo')).ok('DELETE', `/image/v2/images/${image}`);
  await server.act('reboot', { type: 'HARD' });
  await server.is('ACTIVE');
  await server.act('shelve');
  await server.is('SHELVED_OFFLOADED');
  await server.act('unshelve');
  await server.is('ACTIVE');
  // Without an image of its own there is none to rescue it with, unless one is named.
  assert.equal((await server.ask('rescue')).status, 400);
  await server.act('rescue', { rescue_image_ref: await cloud.image() });
  await server.is('RESCUE');
});

/** Looks for what is overdue as if it were so much later. */
async function look(
  cloud: TestCloud,
  { reclaimMs = 0, offloadMs = -1, inMs }: { reclaimMs?: number; offloadMs?: number; inMs: number },
): Promise<void> {
  const log = pino({ level: 'silent' });
  const now = () => Date.now() + inMs;
  await new Overdue({ db: cloud.db, log, now, reclaimMs, offloadMs, begun: () => undefined }).look();
}

async function newestAction(cloud: TestCloud, server: TestServer): Promise<{ action: string; details: string | null }> {
  const demo = await cloud.as('demo');
  const path = `/compute/v2.1/servers/${server.id}/os-instance-actions`;
  const { instanceActions } = await demo.ok<{ instanceActions: { request_id: string }[] }>('GET', path);
  const shown: ShownAction = await server.action(instanceActions[0]?.request_id ?? '');
  const [event] = shown.events as readonly { readonly details?: string | null }[];
  return { action: shown.action, details: event?.details ?? null };
}

async function shelvedImage(cloud: TestCloud, { id }: TestServer): Promise<string> {
  const row = await cloud.db.queries.selectFrom('servers').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
  return row.shelved_image_id ?? '';
}

async function protect(cloud: TestCloud, image: string, isProtected: boolean): Promise<void> {
  const client = await cloud.as('demo');
  const answer = await fetch(`${cloud.url}/image/v2/images/${image}`, {
    method: 'PATCH',
    headers: { ...client.headers(), 'content-type': 'application/openstack-images-v2.1-json-patch' },
    body: JSON.stringify([{ op: 'replace', path: '/protected', value: isProtected }]),
  });
  assert.equal(answer.status, 200, await answer.text());
}
