/** Hypervisors: their keys by microversion, what is used of them, pages, patterns, and what later versions dropped. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ApiHarness, apiHarness } from '../api-harness.ts';
import { addAllocation, addHost } from '../hosts-harness.ts';

async function cloud(): Promise<ApiHarness> {
  const api = await apiHarness();
  for (const name of ['rack1-a', 'rack1-b', 'rack2-a']) await addHost(api.db, { name }, api.clock);
  return api;
}

const get = async (api: ApiHarness, path: string, version = '2.1') => {
  const { status, body, text } = await api.call('admin', 'GET', `/os-hypervisors${path}`, { version });
  assert.equal(status, 200, text);
  return body;
};

const names = (hypervisors: readonly Record<string, unknown>[]) => hypervisors.map((each) => each.hypervisor_hostname);

const CAPACITY = [
  'cpu_info',
  'current_workload',
  'disk_available_least',
  'free_disk_gb',
  'free_ram_mb',
  'local_gb',
  'local_gb_used',
  'memory_mb',
  'memory_mb_used',
  'running_vms',
  'vcpus',
  'vcpus_used',
];
const ALWAYS = [
  'host_ip',
  'hypervisor_hostname',
  'hypervisor_type',
  'hypervisor_version',
  'id',
  'service',
  'state',
  'status',
];

test('a hypervisor has exactly the keys of its microversion', async () => {
  await using api = await cloud();
  for (const [version, keys] of [
    ['2.1', [...ALWAYS, ...CAPACITY]],
    ['2.53', [...ALWAYS, ...CAPACITY]],
    ['2.87', [...ALWAYS, ...CAPACITY]],
    ['2.88', [...ALWAYS, 'uptime']],
  ] as const) {
    const [detailed] = (await get(api, '/detail', version)).hypervisors;
    assert.deepEqual(Object.keys(detailed).toSorted(), keys.toSorted(), version);
    const shown = (await get(api, `/${detailed.id}`, version)).hypervisor;
    assert.deepEqual(shown, detailed);
    const [short] = (await get(api, '', version)).hypervisors;
    assert.deepEqual(Object.keys(short).toSorted(), ['hypervisor_hostname', 'id', 'state', 'status']);
    assert.equal(typeof shown.id, version === '2.1' ? 'number' : 'string');
    assert.equal(shown.service.id, shown.id);
  }
  const info = { arch: 'x86_64', model: 'qemu64' };
  assert.deepEqual((await get(api, '/1', '2.28')).hypervisor.cpu_info, info);
  assert.deepEqual(JSON.parse((await get(api, '/1', '2.27')).hypervisor.cpu_info), info);
});

test('what is used is the sum of what servers hold, and is counted', async () => {
  await using api = await cloud();
  const one = await api.add({ host: 'rack1-a' });
  const two = await api.add({ host: 'rack1-a', task_state: 'powering-off' });
  await addAllocation(api.db, one, 'rack1-a');
  await addAllocation(api.db, two, 'rack1-a');
  await addAllocation(api.db, two, 'rack1-b', 'migration');
  const { hypervisor } = await get(api, '/1');
  const { vcpus, vcpus_used, memory_mb_used, free_ram_mb, local_gb_used, free_disk_gb, running_vms } = hypervisor;
  assert.deepEqual([vcpus, vcpus_used, memory_mb_used, free_ram_mb], [8, 4, 2048, 16_384 - 2048]);
  assert.deepEqual([local_gb_used, free_disk_gb, running_vms, hypervisor.current_workload], [20, 80, 2, 1]);
  assert.equal(hypervisor.host_ip, '192.0.2.1');
  await api.db.queries.updateTable('hosts').set({ enabled: 0 }).where('name', '=', 'rack2-a').execute();
  const { hypervisor_statistics } = await get(api, '/statistics');
  assert.deepEqual(hypervisor_statistics, {
    count: 2,
    vcpus: 16,
    vcpus_used: 6,
    memory_mb: 32_768,
    memory_mb_used: 3072,
    free_ram_mb: 32_768 - 3072,
    local_gb: 200,
    local_gb_used: 30,
    free_disk_gb: 170,
    disk_available_least: 170,
    running_vms: 2,
    current_workload: 1,
  });
});

test('lists come in pages from 2.33 on, by the id of the microversion', async () => {
  await using api = await cloud();
  assert.equal((await get(api, '?limit=1', '2.32')).hypervisors.length, 3);
  for (const version of ['2.33', '2.53']) {
    const seen: unknown[] = [];
    for (let path: string | undefined = '/detail?limit=2'; path; ) {
      const body: { hypervisors: Record<string, unknown>[]; hypervisors_links?: { href: string }[] } = await get(
        api,
        path,
        version,
      );
      seen.push(...names(body.hypervisors));
      path = body.hypervisors_links?.[0]?.href.split('/os-hypervisors')[1];
    }
    assert.deepEqual(seen, ['rack1-a', 'rack1-b', 'rack2-a']);
  }
  const refused = async (query: string, version = '2.53') =>
    (await api.call('admin', 'GET', `/os-hypervisors?${query}`, { version })).status;
  assert.equal(await refused('marker=none'), 400);
  assert.equal(await refused('limit=1&hypervisor_hostname_pattern=rack'), 400);
  assert.equal(await refused('hypervisor_hostname_pattern=cellar'), 404);
  assert.equal(await refused('foo=1', '2.75'), 400);
});

test('names are searched, and servers shown with their hosts', async () => {
  await using api = await cloud();
  const id = await api.add({ host: 'rack1-b', name: 'web' });
  assert.deepEqual(names((await get(api, '/rack1/search')).hypervisors), ['rack1-a', 'rack1-b']);
  const { hypervisors } = await get(api, '/rack1/servers');
  assert.deepEqual(
    hypervisors.map(({ servers }: { servers?: unknown }) => servers),
    [undefined, [{ uuid: id, name: 'web' }]],
  );
  const later = await get(api, '?hypervisor_hostname_pattern=rack1&with_servers=true', '2.53');
  assert.deepEqual(
    later.hypervisors.map(({ servers }: { servers?: unknown }) => servers),
    [undefined, [{ uuid: id, name: 'web' }]],
  );
  const [empty] = (await get(api, '?with_servers=true', '2.75')).hypervisors;
  assert.deepEqual(empty.servers, []);
  const shown = await get(api, `/${later.hypervisors[1].id}?with_servers=1`, '2.53');
  assert.deepEqual(shown.hypervisor.servers, [{ uuid: id, name: 'web' }]);
});

test('uptime is told where the agent said when its machine began to run', async () => {
  await using api = await cloud();
  const day = 86_400_000;
  for (const [ms, text] of [
    [59_000, ' 03:04:05 up 0:00'],
    [day + 3_660_000, ' 03:04:05 up 1 day, 1:01'],
    [12 * day, ' 03:04:05 up 12 days, 0:00'],
  ] as const) {
    await addHost(api.db, { name: 'rack1-a', booted_at: api.clock - ms }, api.clock);
    const { uptime, ...summary } = (await get(api, '/1/uptime')).hypervisor;
    assert.equal(uptime, text);
    assert.deepEqual(summary, (await get(api, '')).hypervisors[0]);
    assert.equal((await get(api, '/detail', '2.88')).hypervisors[0].uptime, text);
  }
  const status = async (path: string, version: string) =>
    (await api.call('admin', 'GET', `/os-hypervisors${path}`, { version })).status;
  assert.equal(await status('/2/uptime', '2.1'), 501);
  assert.equal((await get(api, '/detail', '2.88')).hypervisors[1].uptime, null);
  assert.equal(await status('/1/uptime', '2.88'), 404);
  await api.db.queries.updateTable('hosts').set({ forced_down: 1 }).execute();
  assert.equal(await status('/1/uptime', '2.1'), 400);
});

test('state and status follow the host; the rest is refused', async () => {
  await using api = await cloud();
  await api.db.queries.updateTable('hosts').set({ enabled: 0, forced_down: 1 }).where('number', '=', 1).execute();
  const [first] = (await get(api, '')).hypervisors;
  assert.deepEqual([first.state, first.status], ['down', 'disabled']);
  const status = async (path: string, version: string) =>
    (await api.call('admin', 'GET', `/os-hypervisors${path}`, { version })).status;
  assert.equal(await status('/4', '2.1'), 404);
  assert.equal(await status('/x', '2.1'), 400);
  assert.equal(await status('/1', '2.53'), 400);
  assert.equal(await status('/none/search', '2.1'), 404);
  assert.equal(await status('/rack1/search', '2.53'), 404);
  assert.equal(await status('/rack1/servers', '2.53'), 404);
  assert.equal((await api.call('demo', 'GET', '/os-hypervisors')).status, 403);
});
