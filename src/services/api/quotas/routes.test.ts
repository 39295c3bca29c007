/** Limits of single projects: set by an administrator, counted against what there is, and in force at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { insertProject } from '#db/repo/identity/projects.ts';
import { apiHarness, PROJECTS } from '../api-harness.ts';

async function stage() {
  const api = await apiHarness({ instances: 5, cores: 8 });
  await insertProject(api.db.queries, {
    id: PROJECTS.demo,
    name: 'demo',
    description: '',
    enabled: true,
    createdAt: 1,
  });
  const path = `/os-quota-sets/${PROJECTS.demo}`;
  const put = (quota_set: object, who: 'admin' | 'demo' = 'admin') =>
    api.call(who, 'PUT', path, { body: { quota_set } });
  return { api, path, put };
}

test('an administrator sets limits, which show in quotas, limits and refusals, and takes them back', async () => {
  const { api, path, put } = await stage();
  await using _ = api;
  assert.equal((await put({ instances: 7, ram: '-1' })).status, 200);
  const shown = (await api.call('demo', 'GET', path, { version: '2.57' })).body.quota_set;
  assert.deepEqual(shown, {
    id: PROJECTS.demo,
    instances: 7,
    cores: 8,
    ram: -1,
    metadata_items: 128,
    key_pairs: 100,
    server_groups: 10,
    server_group_members: 10,
  });
  const { absolute } = (await api.call('demo', 'GET', '/limits')).body.limits;
  assert.deepEqual([absolute.maxTotalInstances, absolute.maxTotalRAMSize], [7, -1]);
  assert.equal((await api.call('demo', 'GET', `${path}/defaults`)).body.quota_set.instances, 5);
  await put({ server_groups: 0 });
  const group = { server_group: { name: 'g', policies: ['affinity'] } };
  assert.equal((await api.call('demo', 'POST', '/os-server-groups', { body: group })).status, 403);
  assert.equal((await api.call('admin', 'DELETE', path)).status, 202);
  assert.equal((await api.call('demo', 'GET', path)).body.quota_set.instances, 5);
  assert.equal((await api.call('demo', 'POST', '/os-server-groups', { body: group })).status, 200);
});

test('what is used is counted, and a limit below it needs force', async () => {
  const { api, path, put } = await stage();
  await using _ = api;
  await api.add();
  await api.add();
  const { quota_set } = (await api.call('demo', 'GET', `${path}/detail`)).body;
  assert.deepEqual(quota_set.instances, { limit: 5, in_use: 2, reserved: 0 });
  const refused = await put({ instances: 1 });
  assert.equal(refused.status, 400);
  assert.match(
    refused.text,
    /Quota limit 1 for instances must be greater than or equal to already used and reserved 2/,
  );
  assert.equal((await put({ instances: 1, force: true })).status, 200);
});

test('others neither set nor see them, and bad input is refused', async () => {
  const { api, path, put } = await stage();
  await using _ = api;
  assert.equal((await put({ instances: 99 }, 'demo')).status, 403);
  assert.equal((await api.call('other', 'GET', path)).status, 403);
  assert.equal((await put({ instances: -2 })).status, 400);
  assert.equal((await put({ spaceships: 1 })).status, 400);
  const nowhere = '/os-quota-sets/nowhere';
  assert.equal((await api.call('admin', 'PUT', nowhere, { body: { quota_set: { cores: 1 } } })).status, 400);
});

test('keys are those of the microversion', async () => {
  const { api, path } = await stage();
  await using _ = api;
  const has = async (key: string, version: string) =>
    key in (await api.call('demo', 'GET', path, { version })).body.quota_set;
  assert.deepEqual([await has('floating_ips', '2.35'), await has('floating_ips', '2.36')], [true, false]);
  assert.deepEqual([await has('injected_files', '2.56'), await has('injected_files', '2.57')], [true, false]);
});
