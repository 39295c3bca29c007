/** Long operations are cancelled by their owner: through the API, or in the record; nothing of them is left. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { cancelOperation } from '#db/repo/operations.ts';
import { type TestCloud, testCloud } from '../cloud.ts';
import { type InFlightKind, inFlight, turnsRound } from './in-flight.ts';
import { photoOf } from './photo.ts';

const LONG: readonly InFlightKind[] = [
  'createImage',
  'createBackup',
  'shelve',
  'unshelve',
  'suspend',
  'resume',
  'rescue',
  'rebuild',
  'stop',
  'reboot',
];

describe('a long operation that hangs', () => {
  let cloud: TestCloud;
  let image = '';
  before(async () => {
    cloud = await testCloud({ driver: 'fake', inMemory: true });
    image = await cloud.registerImage();
  });
  after(() => cloud[Symbol.asyncDispose]());

  for (const kind of LONG) {
    test(`${kind} is cancelled through the API: the server is as it was`, async () => {
      const { server, requestId, before: was } = await inFlight(cloud, kind, image);
      assert.equal((await server.cancel(requestId)).status, 202);
      await turnsRound(cloud, requestId);
      cloud.driver.setFault(server.id, null);
      assert.equal((await cloud.rested(requestId)).state, 'undone');
      assert.match((await server.action(requestId)).message ?? '', /^Cancelled: demo asked for it$/);
      // Nobody shall take the old disk for the new one that was asked for.
      const wanted = kind === 'rebuild' ? { ...was, vmState: 'error' } : was;
      assert.deepEqual(await photoOf(cloud, server.id), wanted);
      assert.equal((await server.cancel(requestId)).status, 409, 'it is over');
      assert.deepEqual(await cloud.leaks(), []);
    });
  }

  test('a launch is cancelled through the API: the server is in ERROR and on no host', async () => {
    cloud.driver.setFault('*', { blockAt: ['create'] });
    const server = await cloud.server({ image }).accepted();
    await cloud.waitFor('the launch hangs', async () => cloud.driver.isHanging(server.id, 'create'));
    assert.equal((await server.cancel(server.requestId)).status, 202);
    await turnsRound(cloud, server.requestId);
    cloud.driver.setFault('*', null);
    assert.equal((await cloud.rested(server.requestId)).state, 'undone');
    const { vmState, host, room, guest } = await photoOf(cloud, server.id);
    assert.deepEqual({ vmState, host, room, guest }, { vmState: 'error', host: null, room: null, guest: 'absent' });
    assert.match((await server.show())?.fault?.message ?? '', /^Cancelled: demo asked for it$/);
    assert.deepEqual(await cloud.leaks(), []);
  });

  test('a cancel that is only written into the record is heeded soon, while it hangs', async () => {
    const { server, requestId, before: was } = await inFlight(cloud, 'createImage', image);
    const { id } = await cloud.db.queries
      .selectFrom('operations')
      .select('id')
      .where('request_id', '=', requestId)
      .executeTakeFirstOrThrow();
    const begun = performance.now();
    assert.ok(await cancelOperation(cloud.db.queries, id, "'micronova op cancel' asked for it", Date.now()));
    // The driver is not told to go on: only the cancel can have ended it.
    assert.equal((await cloud.rested(requestId)).state, 'undone');
    assert.ok(performance.now() - begun < 5_000);
    cloud.driver.setFault(server.id, null);
    assert.deepEqual(await photoOf(cloud, server.id), was);
  });

  test('a lock holds its owner off from cancelling, and nobody else', async () => {
    const { server, requestId } = await inFlight(cloud, 'createImage', image);
    await server.act('lock');
    assert.equal((await server.cancel(requestId)).status, 409);
    const admin = await cloud.as('admin');
    const path = `/compute/v2.1/servers/${server.id}/os-instance-actions/${requestId}`;
    assert.equal((await admin.request('DELETE', path)).status, 202);
    assert.equal((await cloud.rested(requestId)).state, 'undone');
    cloud.driver.setFault(server.id, null);
    for (const action of ['os-stop', 'pause', 'suspend', 'shelve', 'forceDelete', 'createImage']) {
      const argument = action === 'createImage' ? { name: 'x' } : null;
      const refused = await server.ask(action, argument);
      assert.deepEqual(
        [refused.status, refused.body],
        [409, { conflictingRequest: { code: 409, message: `Instance ${server.id} is locked` } }],
      );
    }
    await server.act('os-stop', null, 'admin');
    await server.is('SHUTOFF');
    await server.act('unlock');
    await server.act('os-start');
    await server.is('ACTIVE');
  });

  test('a deletion is not cancelled', async () => {
    const server = await cloud.server({ image }).active();
    cloud.driver.setFault(server.id, { blockAt: ['destroy'] });
    const deletion = await server.delete();
    await cloud.waitFor('it hangs', async () => cloud.driver.isHanging(server.id, 'destroy'));
    assert.equal((await server.cancel(deletion)).status, 409);
    cloud.driver.setFault(server.id, null);
    assert.equal((await cloud.rested(deletion)).state, 'done');
  });
});
