/** Security groups of a server through Nova: on all its ports, told to the hosts, and refused in Nova's words. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { insertSecurityGroup } from '#db/repo/network/security-groups.ts';
import { type ApiHarness, apiHarness, PROJECTS } from '../../api-harness.ts';

async function stage() {
  const api = await apiHarness();
  const id = await api.add();
  const networks = [await api.addNetwork('one'), await api.addNetwork('two', '10.1.0.0/24')];
  for (const network of networks) await api.join(id, network);
  const group = (name: string, projectId: string = PROJECTS.demo) =>
    api.db.transaction((trx) => insertSecurityGroup(trx, { projectId, name }, 1));
  return { api, id, networks, group };
}

const act = (api: ApiHarness, id: string, body: object) => api.call('demo', 'POST', `/servers/${id}/action`, { body });
const groupsOf = async (api: ApiHarness, id: string) =>
  (await api.call('demo', 'GET', `/servers/${id}`)).body.server.security_groups.map(
    ({ name }: { name: string }) => name,
  );

test('a group is added to all ports and taken away again, each once, and the hosts hear of it', async () => {
  const { api, id, networks, group } = await stage();
  await using _ = api;
  const web = await group('web');
  assert.equal((await act(api, id, { addSecurityGroup: { name: 'web' } })).status, 202);
  assert.equal((await act(api, id, { addSecurityGroup: { name: web.id } })).status, 202, 'has it already');
  assert.deepEqual(await groupsOf(api, id), ['default', 'web']);
  assert.deepEqual(api.changedNetworks.toSorted(), networks.toSorted());
  const listed = (await api.call('demo', 'GET', `/servers/${id}/os-security-groups`)).body.security_groups;
  assert.deepEqual(
    listed.map(({ name }: { name: string }) => name),
    ['default', 'web'],
  );
  assert.deepEqual(listed[0].rules[0].group, { name: 'default', tenant_id: PROJECTS.demo });
  assert.equal((await act(api, id, { removeSecurityGroup: { name: 'web' } })).status, 202);
  assert.deepEqual(await groupsOf(api, id), ['default']);
  assert.equal((await act(api, id, { removeSecurityGroup: { name: 'web' } })).status, 404, 'has it no more');
});

test('what is not there, is another project’s or is two is refused, and nothing changes', async () => {
  const { api, id, group } = await stage();
  await using _ = api;
  await group('theirs', PROJECTS.other);
  await group('twice');
  await group('twice');
  for (const [name, status] of [
    ['none', 404],
    ['theirs', 404],
    ['twice', 409],
  ] as const)
    assert.equal((await act(api, id, { addSecurityGroup: { name } })).status, status, name);
  assert.deepEqual(await groupsOf(api, id), ['default']);
  assert.deepEqual(api.changedNetworks, []);
});

test('older clients look groups up in the compute service, by id or in the list, and 2.36 no more', async () => {
  const { api, group } = await stage();
  await using _ = api;
  const web = await group('web');
  await group('theirs', PROJECTS.other);
  const get = (path: string, version = '2.1') => api.call('demo', 'GET', `/os-security-groups${path}`, { version });
  const names = (await get('')).body.security_groups.map(({ name }: { name: string }) => name);
  assert.deepEqual(names, ['default', 'web']);
  assert.deepEqual((await get(`/${web.id}`)).body.security_group, {
    id: web.id,
    name: 'web',
    description: '',
    tenant_id: PROJECTS.demo,
    rules: [],
  });
  assert.equal((await get('/web')).status, 404, 'a name');
  assert.equal((await get('', '2.36')).status, 404);
});
