/** Where an operation can neither succeed nor go back, and where others mean harm: nothing is stuck, nothing of theirs counts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { acceptOperation } from '#db/repo/accept.ts';
import { findServer } from '#db/repo/servers.ts';
import { DriverError } from '#services/compute/driver/driver-error.ts';
import { type TestCloud, testCloud } from '../../test/cloud.ts';
import { eventually } from '../../test/eventually.ts';
import type { TestServer } from '../../test/server.ts';

const impatient = { conductor: { backOff: async () => {} } };
const fake = (config = {}) => testCloud({ driver: 'fake', config, overrides: impatient });

/** Asks for an action; answers the request id. */
async function ask(cloud: TestCloud, server: TestServer, action: object): Promise<string> {
  const client = await cloud.as('demo');
  const answer = await client.request('POST', `/compute/v2.1/servers/${server.id}/action`, { json: action });
  assert.ok(answer.status < 300, JSON.stringify(answer.body));
  return answer.requestId;
}

async function done(cloud: TestCloud, server: TestServer, action: object): Promise<void> {
  assert.equal((await cloud.rested(await ask(cloud, server, action))).state, 'done');
}

test('an unrescue whose disk is lost waits for a person, says why, and does not hold up a delete', async () => {
  await using cloud = await fake();
  const server = await cloud.server().active();
  await done(cloud, server, { rescue: {} });
  await cloud.driver.loseDisk(server.id, 'disk');
  const unrescue = await ask(cloud, server, { unrescue: null });
  const operation = await cloud.rested(unrescue);
  assert.equal(operation.state, 'needs_attention');
  assert.match(operation.error ?? '', /startGuest failed.*disk/);
  assert.equal((await server.show())?.['OS-EXT-STS:task_state'], null);
  assert.equal((await cloud.rested(await server.delete())).state, 'done');
  assert.deepEqual(await cloud.leaks(), []);
});

test('a deletion that meets one which goes on failing past its point of no return is not held up either', async () => {
  await using cloud = await fake();
  const server = await cloud.server().active();
  await done(cloud, server, { rescue: {} });
  // As a hypervisor that stumbles for ever: each attempt may be the one that succeeds.
  cloud.driver.setFault(server.id, { blockAt: ['start'] });
  await ask(cloud, server, { unrescue: null });
  await eventually('the unrescue is behind the point', async () => {
    const entry = await cloud.db.queries
      .selectFrom('journal')
      .selectAll()
      .where('step', '=', 'startGuest')
      .where('event', '=', 'started')
      .innerJoin('operations', 'operations.id', 'journal.operation_id')
      .where('operations.kind', '=', 'unrescue')
      .executeTakeFirst();
    return entry !== undefined;
  });
  const deletion = await server.delete();
  cloud.driver.setFault(server.id, { failAt: { start: 'it stumbles' } });
  assert.equal((await cloud.rested(deletion)).state, 'done');
  assert.deepEqual(await cloud.leaks(), []);
});

test('only images of its own project are a server’s backups', async () => {
  await using cloud = await fake();
  const server = await cloud.server().active();
  const stranger = await cloud.as('admin');
  const claimed = { instance_uuid: server.id, image_type: 'backup', backup_type: 'daily' };
  const backup = (name: string) => ({ createBackup: { name, backup_type: 'daily', rotation: 1 } });
  await done(cloud, server, backup('first'));
  const record = { name: 'planted', disk_format: 'raw', container_format: 'bare', visibility: 'private', ...claimed };
  const { id } = await stranger.ok<{ id: string }>('POST', '/image/v2/images', { json: record });
  await stranger.ok('PUT', `/image/v2/images/${id}/file`, { bytes: Buffer.alloc(512) });
  await done(cloud, server, { createBackup: { name: 'second', backup_type: 'daily', rotation: 2 } });
  const images = async () => {
    const { images } = await stranger.ok<{ images: { name: string }[] }>('GET', `/image/v2/images?image_type=backup`);
    return images.map(({ name }) => name).toSorted();
  };
  assert.deepEqual(await images(), ['first', 'planted', 'second']);
  await done(cloud, server, backup('third'));
  assert.deepEqual(await images(), ['planted', 'third']);
});

test('what was overdue when it was looked at is left alone when it has changed since', async () => {
  await using cloud = await fake({ reclaim_seconds: 3600 });
  const server = await cloud.server().active();
  await cloud.rested(await server.delete());
  const seen = await findServer(cloud.db.queries, server.id, null);
  assert.equal(seen?.vm_state, 'soft-delete');
  await done(cloud, server, { restore: null });
  const wanted = { kind: 'delete', version: 1, input: {}, requestId: 'req-late', userId: 'u' } as const;
  const late = acceptOperation(cloud.db, { ...seen, vm_state: 'active' }, wanted, Date.now(), { ifUnchanged: true });
  await assert.rejects(late, { status: 409 });
  await server.is('ACTIVE');
});

test('a snapshot whose image was protected meanwhile is taken back all the same', async () => {
  await using cloud = await fake();
  const server = await cloud.server().active();
  cloud.driver.setFault(server.id, { blockAt: ['backupDisk'] });
  const { requestId, imageId } = await server.snapshot();
  const client = await cloud.as('demo');
  const patch = [{ op: 'replace', path: '/protected', value: true }];
  const headers = { ...client.headers(), 'content-type': 'application/openstack-images-v2.1-json-patch' };
  const body = JSON.stringify(patch);
  const patched = await fetch(`${cloud.url}/image/v2/images/${imageId}`, { method: 'PATCH', headers, body });
  assert.equal(patched.status, 200);
  const path = `/compute/v2.1/servers/${server.id}/os-instance-actions/${requestId}`;
  await client.ok('DELETE', path);
  assert.equal((await cloud.rested(requestId)).state, 'undone');
  const off = JSON.stringify([{ op: 'replace', path: '/protected', value: false }]);
  await fetch(`${cloud.url}/image/v2/images/${imageId}`, { method: 'PATCH', headers, body: off });
  await client.ok('DELETE', `/image/v2/images/${imageId}`);
});

test('a rescue disk is never taken for the server’s own; a hard reboot ends the rescue', async () => {
  await using cloud = await fake();
  const server = await cloud.server().active();
  await done(cloud, server, { rescue: {} });
  const admin = await cloud.as('admin');
  const path = `/compute/v2.1/servers/${server.id}/action`;
  await admin.ok('POST', path, { json: { 'os-resetState': { state: 'active' } } });
  const shelving = await cloud.rested(await ask(cloud, server, { shelve: null }));
  assert.equal(shelving.state, 'undone');
  assert.match(shelving.error ?? '', /rescue disk/);
  await done(cloud, server, { reboot: { type: 'HARD' } });
  assert.deepEqual(Object.keys(await cloud.driver.disks(server.id)), ['disk']);
  await done(cloud, server, { shelve: null });
});

test('taking back waits for what may come again, and is then complete', async () => {
  await using cloud = await fake();
  const away = new DriverError('tool_failed', 'as if the host were away for a while');
  cloud.driver.setFault('*', { failAt: { start: 'no', destroy: { error: away, times: 8 } } });
  const server = await cloud.server().accepted();
  assert.equal((await cloud.rested(server.requestId)).state, 'undone');
  cloud.driver.setFault('*', null);
  assert.equal((await cloud.rested(await server.delete())).state, 'done');
  assert.deepEqual(await cloud.leaks(), []);
});
