/** Which ports a launch makes: of what is asked for, of what there is, and none where something is wrong. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { insertPort } from '#db/repo/network/ports.ts';
import { insertSecurityGroup } from '#db/repo/network/security-groups.ts';
import { type ApiHarness, apiHarness, IMAGE, PROJECTS } from '../api-harness.ts';

const launch = (api: ApiHarness, server: object, version = '2.37') =>
  api.call('demo', 'POST', '/servers', {
    version,
    body: { server: { name: 'web', imageRef: IMAGE, flavorRef: '42', ...server } },
  });

/** Networks and addresses of a server that was launched so; addresses that were not asked for end in `x`. */
async function joined(api: ApiHarness, server: object, version?: string) {
  const answer = await launch(api, server, version);
  assert.equal(answer.status, 202, answer.text);
  const shown = await api.call('demo', 'GET', `/servers/${answer.body.server.id}`);
  const { addresses, security_groups: groups } = shown.body.server;
  const asked = ['10.0.0.77', '10.1.0.99'];
  const lists = Object.entries(addresses as Record<string, { addr: string }[]>);
  return {
    networks: Object.fromEntries(
      lists.map(([name, each]) => [
        name,
        each.map(({ addr }) => (asked.includes(addr) ? addr : addr.replace(/\d+$/, 'x'))),
      ]),
    ),
    groups,
  };
}

async function refused(api: ApiHarness, server: object) {
  const { status, body } = await launch(api, server);
  const [fault] = Object.values(body as Record<string, { message: string }>);
  const ports = await api.db.queries.selectFrom('ports').select('id').where('device_id', '!=', '').execute();
  const servers = await api.db.queries.selectFrom('servers').select('id').execute();
  assert.deepEqual([ports, servers], [[], []], 'nothing was made');
  return [status, fault?.message];
}

test('without a word about networks a server is on the only one, on none where there is none, and asks where there are two', async () => {
  await using api = await apiHarness();
  assert.deepEqual(await joined(api, {}, '2.1'), { networks: {}, groups: undefined });
  await api.addNetwork('private');
  assert.deepEqual((await joined(api, {}, '2.1')).networks, { private: ['10.0.0.x'] });
  assert.deepEqual((await joined(api, { networks: 'auto' })).networks, { private: ['10.0.0.x'] });
  assert.deepEqual((await joined(api, { networks: 'none' })).networks, {});
  await api.addNetwork('second');
  const { status, body } = await launch(api, { networks: 'auto' });
  assert.deepEqual(
    [status, body.conflictingRequest.message],
    [409, 'Multiple possible networks found, use a Network ID to be more specific.'],
  );
});

test('networks, addresses and ports that are named are what it gets, in their order', async () => {
  await using api = await apiHarness();
  const [first, second] = [await api.addNetwork('first'), await api.addNetwork('second', '10.1.0.0/24')];
  const wish = { projectId: PROJECTS.demo, networkId: second, portSecurity: false, name: 'mine' };
  const port = await api.db.transaction((trx) => insertPort(trx, { ...wish, fixedIps: [{ address: '10.1.0.99' }] }, 1));
  const networks = [{ uuid: first, fixed_ip: '10.0.0.77' }, { port: port.id }, { uuid: second }];
  const server = await joined(api, { networks });
  assert.deepEqual(server.networks, { first: ['10.0.0.77'], second: ['10.1.0.99', '10.1.0.x'] });
  const { status } = await launch(api, { networks: [{ port: port.id }] });
  assert.equal(status, 409, 'somebody has it');
});

test('many servers get an address each', async () => {
  await using api = await apiHarness();
  const uuid = await api.addNetwork('private');
  assert.equal((await launch(api, { networks: [{ uuid }], min_count: 5 })).status, 202);
  const { servers } = (await api.call('demo', 'GET', '/servers/detail')).body;
  const all = servers.map(
    (server: { addresses: { private: { addr: string }[] } }) => server.addresses.private[0]?.addr,
  );
  assert.equal(new Set(all).size, 5);
});

test('security groups are those that are named, by name or id', async () => {
  await using api = await apiHarness();
  const uuid = await api.addNetwork('private');
  const web = await api.db.transaction((trx) => insertSecurityGroup(trx, { projectId: PROJECTS.demo, name: 'web' }, 1));
  assert.deepEqual((await joined(api, { networks: [{ uuid }] })).groups, [{ name: 'default' }]);
  for (const name of ['web', web.id])
    assert.deepEqual((await joined(api, { networks: [{ uuid }], security_groups: [{ name }] })).groups, [
      { name: 'web' },
    ]);
});

test('what cannot be is refused before anything is made', async () => {
  await using api = await apiHarness();
  const uuid = await api.addNetwork('tiny', '10.0.0.0/30');
  const other = await api.addNetwork('theirs', '10.2.0.0/24', { projectId: PROJECTS.other });
  const outside = await api.addNetwork('public', '10.3.0.0/24', { projectId: PROJECTS.admin, external: true });
  const unknown = '33333333-3333-4333-8333-333333333333';
  const cases: readonly [object, number, RegExp][] = [
    [{ networks: [{ uuid: unknown }] }, 400, /Network 3.* could not be found/],
    [{ networks: [{ uuid: other }] }, 400, /could not be found/],
    [{ networks: [{ port: unknown }] }, 400, /Port 3.* could not be found/],
    [{ networks: [{ uuid: outside }] }, 403, /external network/],
    [{ networks: [{ uuid, fixed_ip: '10.9.9.9' }] }, 400, /10\.9\.9\.9/],
    [{ networks: [{ uuid, fixed_ip: '10.0.0.1' }], min_count: 2 }, 400, /max_count/],
    [{ networks: [{ port: unknown }], min_count: 2 }, 400, /one by one/],
    [{ networks: [{ uuid }], min_count: 3 }, 409, /No more IP addresses/],
    [{ networks: [{ uuid }], security_groups: [{ name: 'none' }] }, 400, /Security group none not found/],
  ];
  for (const [server, status, words] of cases) {
    const [got, message] = await refused(api, server);
    assert.equal(got, status, `${JSON.stringify(server)}: ${message}`);
    assert.match(String(message), words);
  }
});
