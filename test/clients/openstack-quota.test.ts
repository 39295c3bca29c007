/** Limits of projects, in all services that have any, with the unchanged `openstack` command. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testCloud } from '../cloud.ts';
import { needClients, Programs } from './programs.ts';

test('the openstack command shows, sets and lists quotas', { timeout: 240_000 }, async () => {
  needClients();
  await using cloud = await testCloud({ driver: 'fake', config: { quota_instances: 10 } });
  const user = new Programs(cloud.data, 'micronova');
  const admin = new Programs(cloud.data, 'micronova-admin');
  await cloud.server().active();
  const own = await user.json('quota', 'show');
  assert.deepEqual([own.instances, own.ports, own.networks, own.project_name], [10, 500, 100, 'demo']);
  await admin.openstack(
    'quota',
    'set',
    '--instances',
    '3',
    '--ram',
    '4096',
    '--ports',
    '7',
    '--key-pairs',
    '2',
    'demo',
  );
  const [shown, compute, network, detail] = await Promise.all([
    user.json('quota', 'show'),
    admin.json('quota', 'list', '--compute'),
    admin.json('quota', 'list', '--network'),
    admin.json('quota', 'list', '--compute', '--detail', '--project', 'demo'),
  ]);
  assert.deepEqual([shown.instances, shown.ram, shown.ports, shown['key-pairs']], [3, 4096, 7, 2]);
  assert.deepEqual(
    compute.map((row: Record<string, number>) => [row.Instances, row.Ram]),
    [[3, 4096]],
  );
  assert.deepEqual(
    network.map((row: Record<string, number>) => row.Ports),
    [7],
  );
  const instances = detail.find((row: Record<string, unknown>) => row.Resource === 'instances');
  assert.deepEqual([instances['In Use'], instances.Limit], [1, 3]);
  assert.equal((await user.json('quota', 'show', '--default')).instances, 10);
});
