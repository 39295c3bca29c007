/** Limits and versions: what clients read before they ask for anything. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiHarness, PROJECTS } from './api-harness.ts';

const ALWAYS = [
  'maxServerGroupMembers',
  'maxServerGroups',
  'maxServerMeta',
  'maxTotalCores',
  'maxTotalInstances',
  'maxTotalKeypairs',
  'maxTotalRAMSize',
  'totalCoresUsed',
  'totalInstancesUsed',
  'totalRAMUsed',
  'totalServerGroupsUsed',
];
const UNTIL_35 = [
  'maxSecurityGroupRules',
  'maxSecurityGroups',
  'maxTotalFloatingIps',
  'totalFloatingIpsUsed',
  'totalSecurityGroupsUsed',
];

test('limits have exactly the keys of the microversion', async () => {
  await using api = await apiHarness();
  for (const [minor, more] of [
    [1, [...UNTIL_35, 'maxImageMeta', 'maxPersonality', 'maxPersonalitySize']],
    [35, [...UNTIL_35, 'maxImageMeta', 'maxPersonality', 'maxPersonalitySize']],
    [36, ['maxImageMeta', 'maxPersonality', 'maxPersonalitySize']],
    [39, ['maxPersonality', 'maxPersonalitySize']],
    [57, []],
    [93, []],
  ] as const) {
    const { limits } = (await api.call('demo', 'GET', '/limits', { version: `2.${minor}` })).body;
    assert.deepEqual(Object.keys(limits).toSorted(), ['absolute', 'rate']);
    assert.deepEqual(Object.keys(limits.absolute).toSorted(), [...ALWAYS, ...more].toSorted(), `2.${minor}`);
  }
});

test('usage is counted per project, and only an administrator asks about another one', async () => {
  await using api = await apiHarness({ instances: 5 });
  await api.add();
  await api.add({ vm_state: 'error' });
  await api.add({ deleted_at: api.clock });
  const used = async (who: 'demo' | 'other' | 'admin', query = '') => {
    const { absolute } = (await api.call(who, 'GET', `/limits${query}`)).body.limits;
    return [absolute.totalInstancesUsed, absolute.totalCoresUsed, absolute.totalRAMUsed, absolute.maxTotalInstances];
  };
  assert.deepEqual(await used('demo'), [2, 2, 256, 5]);
  assert.deepEqual(await used('other'), [0, 0, 0, 5]);
  assert.deepEqual(await used('admin', `?tenant_id=${PROJECTS.demo}`), [2, 2, 256, 5]);
  const { status } = await api.call('other', 'GET', `/limits?tenant_id=${PROJECTS.demo}`);
  assert.equal(status, 403);
});

test('the version documents need no token and name the range', async () => {
  await using api = await apiHarness();
  const get = async (url: string) => {
    const response = await api.server.inject({ method: 'GET', url, headers: { host: 'cloud.example:80' } });
    assert.equal(response.statusCode, 200, url);
    return response.json();
  };
  for (const url of ['/compute', '/compute/']) {
    const { versions } = await get(url);
    assert.deepEqual(
      versions.map((each: { id: string; version: string }) => [each.id, each.version]),
      [
        ['v2.0', ''],
        ['v2.1', '2.93'],
      ],
    );
  }
  for (const url of ['/compute/v2.1', '/compute/v2.1/']) {
    const { version } = await get(url);
    assert.deepEqual([version.status, version.min_version, version.version], ['CURRENT', '2.1', '2.93']);
    assert.equal(version.links[0].href, 'http://cloud.example:80/compute/v2.1/');
  }
  assert.equal((await get('/compute/v2/')).version.id, 'v2.0');
});
