/** Stronger wins: what is asked for ends what hangs, whatever it is, and nothing is left of either. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type TestCloud, testCloud } from '../cloud.ts';
import { IN_FLIGHT, type InFlight, type InFlightKind, inFlight, turnsRound } from './in-flight.ts';
import { photoOf } from './photo.ts';

const KINDS = Object.keys(IN_FLIGHT) as InFlightKind[];
/** A soft deletion keeps what is on a host; what comes back to one has nothing to keep. */
const KEPT = KINDS.filter((kind) => kind !== 'unshelve' && kind !== 'shelve');

/** A cloud for all tests of a group, and the image of its servers. */
function shared(config: Readonly<Record<string, number>> = {}) {
  const here = {} as { cloud: TestCloud; image: string };
  before(async () => {
    const overrides = { conductor: { lookEveryMs: 50 } };
    here.cloud = await testCloud({ driver: 'fake', inMemory: true, config, overrides });
    here.image = await here.cloud.registerImage(undefined, { hw_qemu_guest_agent: 'yes' });
  });
  after(() => here.cloud[Symbol.asyncDispose]());
  return here;
}

function endOf(kind: InFlightKind): string {
  const { endsAs }: InFlight = IN_FLIGHT[kind];
  return endsAs ?? 'undone';
}

describe('a deletion', () => {
  const here = shared();
  for (const kind of KINDS)
    for (const how of ['delete', 'forceDelete']) {
      test(`${how} ends ${kind} that hangs, and removes everything`, async () => {
        const { cloud, image } = here;
        const { server, requestId } = await inFlight(cloud, kind, image);
        const deletion = how === 'delete' ? await server.delete() : await server.act('forceDelete');
        if (endOf(kind) === 'undone') await turnsRound(cloud, requestId);
        cloud.driver.setFault(server.id, null);
        assert.equal((await cloud.rested(deletion)).state, 'done');
        assert.equal((await cloud.rested(requestId)).state, endOf(kind));
        await server.isGone();
        const { guest, disks, room, images } = await photoOf(cloud, server.id);
        assert.deepEqual({ guest, disks, room, images }, { guest: 'absent', disks: [], room: null, images: [] });
        assert.deepEqual(await cloud.leaks(), []);
      });
    }
});

/** Stopped and in the middle of a shelving that has made its image, and cannot be taken back any more. */
async function shelving(cloud: TestCloud, image: string) {
  const server = await cloud.server({ image }).active();
  await server.act('os-stop');
  await server.is('SHUTOFF');
  cloud.driver.setFault(server.id, { blockAt: ['stop'] });
  const requestId = await server.act('shelve');
  await cloud.waitFor('the image is made', async () => cloud.driver.isHanging(server.id, 'stop'));
  return { server, requestId };
}

/** Nothing is left of the two, and not the image either. */
async function removesImageOf(cloud: TestCloud, image: string) {
  const { server, requestId } = await shelving(cloud, image);
  const deletion = await server.delete();
  cloud.driver.setFault(server.id, null);
  assert.equal((await cloud.rested(deletion)).state, 'done');
  assert.equal((await cloud.rested(requestId)).state, 'done');
  await server.isGone();
  const { guest, room, images } = await photoOf(cloud, server.id);
  assert.deepEqual({ guest, room, images }, { guest: 'absent', room: null, images: [] });
  assert.deepEqual(await cloud.leaks(), []);
}

describe('a deletion of what cannot be taken back any more', () => {
  const here = shared();
  test('removes the image of a shelving', () => removesImageOf(here.cloud, here.image));
});

describe('a soft deletion', () => {
  const here = shared({ reclaim_seconds: 100_000 });
  test('of a server that is being shelved is one for good: its host may have nothing of it to keep', () =>
    removesImageOf(here.cloud, here.image));

  for (const kind of KEPT) {
    test(`ends ${kind} that hangs, and what is restored is the server with its own disk`, async () => {
      const { cloud, image } = here;
      const { server, requestId, before: was } = await inFlight(cloud, kind, image);
      const deletion = await server.delete();
      if (endOf(kind) === 'undone') await turnsRound(cloud, requestId);
      cloud.driver.setFault(server.id, null);
      assert.equal((await cloud.rested(deletion)).state, 'done');
      assert.equal((await cloud.rested(requestId)).state, endOf(kind));
      await server.is('SOFT_DELETED');
      await server.act('restore');
      await server.is('ACTIVE');
      const { disks, guest, isSoftDeleted } = await photoOf(cloud, server.id);
      assert.deepEqual({ guest, isSoftDeleted }, { guest: 'running', isSoftDeleted: false });
      assert.deepEqual(disks, was.disks.slice(-1));
      await server.act('forceDelete');
      await server.isGone();
      assert.deepEqual(await cloud.leaks(), []);
    });
  }
});

describe('a stronger operation', () => {
  const here = shared();

  const wins = (kind: InFlightKind, argument: readonly [string, unknown], status: string, guest: string) =>
    test(`${argument[0]} ${JSON.stringify(argument[1])} ends ${kind} that hangs`, async () => {
      const { cloud, image } = here;
      const { server, requestId, before: was } = await inFlight(cloud, kind, image);
      const stronger = await server.act(...argument);
      await turnsRound(cloud, requestId);
      cloud.driver.setFault(server.id, null);
      assert.equal((await cloud.rested(stronger)).state, 'done');
      assert.equal((await cloud.rested(requestId)).state, 'undone');
      await server.is(status);
      const now = await photoOf(cloud, server.id);
      assert.deepEqual([now.guest, now.disks], [guest, was.disks]);
      const weaker = await server.action(requestId);
      assert.match(weaker.message ?? '', /^Cancelled: '(hardReboot|forceStop)' was asked for$/);
      await server.act('forceDelete');
      await server.isGone();
    });

  for (const kind of ['reboot', 'pause', 'unpause', 'suspend', 'resume'] as const)
    wins(kind, ['reboot', { type: 'HARD' }], 'ACTIVE', 'running');
  for (const kind of ['stop', 'reboot'] as const) wins(kind, ['os-stop', { type: 'HARD' }], 'SHUTOFF', 'stopped');

  for (const kind of ['stop', 'rescue', 'rebuild', 'shelve', 'createImage', 'hardReboot'] as const)
    test(`a hard reboot waits for its turn behind ${kind}: it is refused`, async () => {
      const { cloud, image } = here;
      const { server, requestId } = await inFlight(cloud, kind, image);
      const refused = await server.ask('reboot', { type: 'HARD' });
      assert.equal(refused.status, 409);
      cloud.driver.setFault(server.id, null);
      assert.equal((await cloud.rested(requestId)).state, 'done');
      await server.act('forceDelete');
      await server.isGone();
    });
});
