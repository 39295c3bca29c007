/**
 * The operations of the tutorial with the unchanged `openstack` command. What they do to a guest is tested with real ones
 * in `test/e2e`; here it is that the command and the cloud understand each other.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testCloud } from '../cloud.ts';
import { needClients, Programs } from './programs.ts';

test('the openstack command knows every operation', { timeout: 240_000 }, async () => {
  needClients();
  await using cloud = await testCloud({ driver: 'fake', config: { shelved_offload_seconds: -1 } });
  const user = new Programs(cloud.data, 'micronova');
  const admin = new Programs(cloud.data, 'micronova-admin');
  const image = await cloud.image();
  const { id } = await cloud.server({ name: 'web' }).active();
  const client = await cloud.as('demo');
  const shown = async () =>
    (await client.ok<{ server: Record<string, unknown> }>('GET', `/compute/v2.1/servers/${id}`)).server;
  const isNow = (status: string) =>
    cloud.waitFor(`status ${status}`, async () => {
      const server = await shown();
      return server.status === status && server['OS-EXT-STS:task_state'] === null;
    });
  const does = async (status: string, ...args: string[]) => {
    await user.openstack('server', ...args, 'web');
    await isNow(status);
  };

  await does('SHUTOFF', 'stop');
  await does('ACTIVE', 'start');
  await does('ACTIVE', 'reboot', '--wait');
  await does('ACTIVE', 'reboot', '--hard', '--wait');
  await does('PAUSED', 'pause');
  await does('ACTIVE', 'unpause');
  await does('SUSPENDED', 'suspend');
  await does('ACTIVE', 'resume');
  await does('RESCUE', 'rescue');
  await does('ACTIVE', 'unrescue');
  await does('ACTIVE', 'rebuild', '--image', image, '--wait');
  await does('ACTIVE', 'lock');
  assert.match(await user.refused('server', 'stop', 'web'), /is locked/);
  await does('ACTIVE', 'unlock');
  await does('SHELVED', 'shelve');
  await admin.openstack('server', 'shelve', '--offload', id);
  await isNow('SHELVED_OFFLOADED');
  await does('ACTIVE', 'unshelve');

  const backup = await user.json('server', 'backup', 'create', '--name', 'b', '--rotate', '1', '--wait', 'web');
  // What the command shows is of before it waited.
  assert.equal(backup.name, 'b');
  assert.equal((await user.json('image', 'show', backup.id)).status, 'active');
  await isNow('ACTIVE');
  const tagged = ['server', 'set', '--property', 'role=web', '--tag', 'blue', 'web'];
  await user.openstack('--os-compute-api-version', '2.26', ...tagged);
  const server = await shown();
  assert.deepEqual([server.metadata, server.tags], [{ role: 'web' }, ['blue']]);
  await user.openstack('server', 'unset', '--property', 'role', 'web');
  assert.deepEqual((await shown()).metadata, {});

  await admin.openstack('server', 'set', '--state', 'error', id);
  assert.equal((await shown()).status, 'ERROR');
  await admin.openstack('server', 'set', '--state', 'active', id);
  assert.equal((await shown()).status, 'ACTIVE');

  const group = await user.json('server', 'group', 'create', '--policy', 'anti-affinity', 'apart');
  assert.deepEqual(
    (await user.json('server', 'group', 'list')).map((each: { Name: string }) => each.Name),
    ['apart'],
  );
  await user.openstack('server', 'group', 'delete', group.id);

  const events = await user.json('server', 'event', 'list', 'web');
  const actions = new Set(events.map((each: { Action: string }) => each.Action));
  for (const action of [
    'stop',
    'start',
    'reboot',
    'pause',
    'rebuild',
    'rescue',
    'shelve',
    'shelveOffload',
    'lock',
    'resetState',
  ])
    assert.ok(actions.has(action), `${action} is among the events`);
  await user.openstack('server', 'delete', '--force', '--wait', 'web');
  assert.deepEqual(await cloud.leaks(), []);
});
