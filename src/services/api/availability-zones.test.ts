/** Zones as the clients read them: named by the hosts, with details for administrators only. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { registerHost } from '#db/repo/hosts.ts';
import { apiHarness } from './api-harness.ts';

const HOST = {
  vcpus: 1,
  memory_mib: 1,
  disk_gib: 1,
  hypervisor_type: 'fake',
  hypervisor_version: 1,
  cpu_model: 'fake',
  cpu_arch: 'x86_64',
  contract_version: 1,
};

test('zones are those of the hosts; one whose hosts are all disabled is not available', async () => {
  await using api = await apiHarness();
  for (const [name, availability_zone] of [
    ['a', 'one'],
    ['b', 'one'],
    ['c', 'two'],
  ] as const)
    await registerHost(api.db.queries, { ...HOST, name, availability_zone }, api.clock);
  await api.db.queries.updateTable('hosts').set({ enabled: 0 }).where('name', 'in', ['b', 'c']).execute();
  const { body } = await api.call('reader', 'GET', '/os-availability-zone');
  assert.deepEqual(body.availabilityZoneInfo, [
    { zoneName: 'one', zoneState: { available: true }, hosts: null },
    { zoneName: 'two', zoneState: { available: false }, hosts: null },
  ]);
});

test('details say for each host whether it is enabled and heard of', async () => {
  await using api = await apiHarness();
  await registerHost(api.db.queries, { ...HOST, name: 'a', availability_zone: 'one' }, api.clock);
  assert.equal((await api.call('demo', 'GET', '/os-availability-zone/detail')).status, 403);
  const hosts = async () =>
    (await api.call('admin', 'GET', '/os-availability-zone/detail')).body.availabilityZoneInfo[0].hosts;
  assert.deepEqual(await hosts(), {
    a: { 'nova-compute': { active: true, available: true, updated_at: '2026-01-02T03:04:05.000000' } },
  });
  api.clock += 120_000;
  assert.equal((await hosts()).a['nova-compute'].available, false);
});
