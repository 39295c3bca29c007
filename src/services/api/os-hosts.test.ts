/** Hosts as older clients ask for them, and not at all from 2.43 on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addToAggregate, insertAggregate } from '#db/repo/aggregates.ts';
import { findHost } from '#db/repo/hosts.ts';
import { beatService } from '#db/repo/services.ts';
import { apiHarness } from './api-harness.ts';
import { addAllocation, addHost } from './hosts-harness.ts';

test('hosts are listed with their zones, shown with their use, and put into service or out of it', async () => {
  await using api = await apiHarness();
  await addHost(api.db, { name: 'one' }, api.clock);
  await addHost(api.db, { name: 'two' }, api.clock);
  await api.db.transaction(async (trx) => {
    await beatService(trx, { role: 'nova-conductor', host: 'control' }, api.clock);
    const { id } = await insertAggregate(trx, { name: 'west', metadata: { availability_zone: 'west' } }, api.clock);
    await addToAggregate(trx, id, 'two');
  });
  await addAllocation(api.db, await api.add({ host: 'one' }), 'one');
  const get = async (path: string) => (await api.call('admin', 'GET', `/os-hosts${path}`)).body;
  assert.deepEqual((await get('')).hosts, [
    { host_name: 'control', service: 'conductor', zone: 'internal' },
    { host_name: 'one', service: 'compute', zone: 'nova' },
    { host_name: 'two', service: 'compute', zone: 'west' },
  ]);
  assert.equal((await get('?zone=west')).hosts.length, 1);
  const resource = { host: 'one', project: '(used_now)', cpu: 2, memory_mb: 1024, disk_gb: 10 };
  assert.deepEqual((await get('/one')).host[1], { resource });

  const put = (body: object, name = 'one') => api.call('admin', 'PUT', `/os-hosts/${name}`, { body });
  const off = await put({ status: 'disable' });
  assert.deepEqual([off.status, off.body], [200, { host: 'one', status: 'disabled' }]);
  assert.equal((await findHost(api.db.queries, 'one'))?.enabled, 0);
  assert.deepEqual((await put({ status: 'enable' })).body, { host: 'one', status: 'enabled' });
  assert.equal((await findHost(api.db.queries, 'one'))?.enabled, 1);
  assert.deepEqual(
    [
      (await put({})).status,
      (await put({ status: 'x' })).status,
      (await put({ maintenance_mode: 'enable' })).status,
      (await put({ status: 'enable' }, 'none')).status,
    ],
    [400, 400, 501, 404],
  );
  for (const action of ['startup', 'shutdown', 'reboot'])
    assert.equal((await api.call('admin', 'GET', `/os-hosts/one/${action}`)).status, 501);
  assert.equal((await api.call('admin', 'GET', '/os-hosts', { version: '2.43' })).status, 404);
  assert.equal((await api.call('demo', 'GET', '/os-hosts')).status, 403);
});
