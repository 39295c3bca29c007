/** Server groups through the whole cloud: launched at once by one request, each server of the group finds its own host. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testCloud } from '../../../test/cloud.ts';
import type { ShownServer } from '../../../test/server.ts';

test('four servers launched at once into an anti-affinity group on three hosts: three run apart, one is in ERROR', async () => {
  await using cloud = await testCloud({ driver: 'fake', hosts: 3 });
  const client = await cloud.as('demo');
  const { server_group: group } = await client.ok<{ server_group: { id: string } }>(
    'POST',
    '/compute/v2.1/os-server-groups',
    { json: { server_group: { name: 'apart', policy: 'anti-affinity' } } },
  );
  const server = { name: 'w', imageRef: await cloud.image(), flavorRef: '42', networks: 'auto', min_count: 4 };
  await client.ok('POST', '/compute/v2.1/servers', { json: { server, 'os:scheduler_hints': { group: group.id } } });
  const servers = await cloud.waitFor('all four to rest', async () => {
    const shown = await client.ok<{ servers: ShownServer[] }>('GET', '/compute/v2.1/servers/detail');
    return shown.servers.every(({ status }) => status !== 'BUILD') && shown.servers;
  });
  assert.deepEqual(servers.map(({ status }) => status).toSorted(), ['ACTIVE', 'ACTIVE', 'ACTIVE', 'ERROR']);
  const rows = await cloud.db.queries.selectFrom('allocations').select('host').execute();
  assert.equal(new Set(rows.map(({ host }) => host)).size, 3);
  const fault = servers.find(({ status }) => status === 'ERROR')?.fault?.message ?? '';
  assert.match(fault, /3 considered; server group: 3 \(anti-affinity, at most 1 on a host\)/);
  for (const { id } of servers) await client.ok('DELETE', `/compute/v2.1/servers/${id}`);
  await cloud.waitFor('the group to be empty', async () => {
    const path = `/compute/v2.1/os-server-groups/${group.id}`;
    const { server_group: shown } = await client.ok<{ server_group: { members: string[] } }>('GET', path);
    return shown.members.length === 0;
  });
});
