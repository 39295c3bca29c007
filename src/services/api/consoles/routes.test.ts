/** Links to consoles: who gets one, for what, in which words, and what is kept of it. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { findConsoleToken } from '#db/repo/console-tokens.ts';
import { type ApiHarness, apiHarness, type Caller } from '../api-harness.ts';

const ask = (api: ApiHarness, id: string, protocol: string, type: string, version = '2.6', who: Caller = 'demo') =>
  api.call(who, 'POST', `/servers/${id}/remote-consoles`, { version, body: { remote_console: { protocol, type } } });

const act = (api: ApiHarness, id: string, name: string, type: string, version = '2.1') =>
  api.call('demo', 'POST', `/servers/${id}/action`, { version, body: { [name]: { type } } });

const tokenOf = (url: string) => {
  const { searchParams } = new URL(url);
  const path = searchParams.get('path');
  return (path === null ? searchParams : new URL(path, url).searchParams).get('token') ?? '';
};

test('a link to the screen names its WebSocket as noVNC does, one to the serial line is a WebSocket', async () => {
  await using api = await apiHarness();
  const id = await api.add();
  const vnc = await ask(api, id, 'vnc', 'novnc');
  assert.equal(vnc.status, 200, vnc.text);
  const { url, ...rest } = vnc.body.remote_console;
  assert.deepEqual(rest, { protocol: 'vnc', type: 'novnc' });
  assert.match(url, /^http:\/\/cloud\.example\/console\/novnc\?path=console%2Fws%3Ftoken%3D[\w-]{43}$/);
  const serial = (await ask(api, id, 'serial', 'serial')).body.remote_console;
  assert.match(serial.url, /^ws:\/\/cloud\.example\/console\/serial\?token=[\w-]{43}$/);
});

test('until 2.5 the links are server actions', async () => {
  await using api = await apiHarness();
  const id = await api.add();
  const vnc = await act(api, id, 'os-getVNCConsole', 'novnc');
  assert.deepEqual([vnc.status, vnc.body.console.type], [200, 'novnc'], vnc.text);
  assert.match(vnc.body.console.url, /\/console\/novnc\?path=/);
  assert.match((await act(api, id, 'os-getSerialConsole', 'serial', '2.5')).body.console.url, /^ws:/);
  assert.equal((await act(api, id, 'os-getVNCConsole', 'novnc', '2.6')).status, 400);
  assert.equal((await ask(api, id, 'vnc', 'novnc', '2.5')).status, 404);
});

test('other consoles are refused in Nova’s words', async () => {
  await using api = await apiHarness();
  const id = await api.add();
  const message = async (protocol: string, type: string, version = '2.8') => {
    const answer = await ask(api, id, protocol, type, version);
    assert.equal(answer.status, 400);
    return answer.body.badRequest.message;
  };
  assert.equal(await message('spice', 'spice-html5'), 'Unavailable console type spice-html5.');
  assert.equal(await message('mks', 'webmks'), 'Unavailable console type webmks.');
  assert.equal(await message('vnc', 'xvpvnc'), 'Invalid console type xvpvnc');
  assert.equal(await message('serial', 'novnc'), 'Invalid console type novnc');
  assert.match(await message('mks', 'webmks', '2.7'), /^Invalid input for field\/attribute (protocol|type)/);
  assert.match(await message('telnet', 'novnc'), /^Invalid input for field\/attribute protocol/);
  assert.equal(
    (await act(api, id, 'os-getSPICEConsole', 'spice-html5')).body.badRequest.message,
    'Unavailable console type spice-html5.',
  );
  assert.equal((await act(api, id, 'os-getVNCConsole', 'xvpvnc')).status, 400);
});

test('a server without a process has no console', async () => {
  await using api = await apiHarness();
  const refused = async (columns: object) => {
    const answer = await ask(api, await api.add(columns), 'vnc', 'novnc');
    assert.equal(answer.status, 409, answer.text);
    return answer.body.conflictingRequest.message;
  };
  assert.match(await refused({ vm_state: 'stopped', power_state: 4 }), /Cannot 'get_vnc_console' .* vm_state stopped/);
  assert.match(await refused({ task_state: 'deleting' }), /while it is in task_state deleting/);
  assert.match(await refused({ vm_state: 'building', host: null }), /vm_state building/);
  assert.match(await refused({ vm_state: 'error', host: null }), /is not ready/);
  assert.match(await refused({ vm_state: 'error', power_state: 4 }), /is not ready/);
  for (const columns of [
    { vm_state: 'paused', power_state: 3 },
    { vm_state: 'error' },
    { vm_state: 'rescued' },
    { locked: 1 },
  ] as const)
    assert.equal((await ask(api, await api.add(columns), 'vnc', 'novnc')).status, 200);
});

test('the own project’s members get links', async () => {
  await using api = await apiHarness();
  const id = await api.add();
  for (const [who, status] of [
    ['mate', 200],
    ['admin', 200],
    ['reader', 403],
    ['other', 404],
    ['nobody', 401],
  ] as const)
    assert.equal((await ask(api, id, 'vnc', 'novnc', '2.6', who)).status, status, who);
});

test('only the hash of a token is kept, no more than twenty for a server, none that has expired', async () => {
  await using api = await apiHarness();
  const id = await api.add();
  const other = await api.add();
  await ask(api, other, 'vnc', 'novnc');
  const tokens: string[] = [];
  for (let index = 0; index < 25; index++) {
    api.clock += 1;
    tokens.push(tokenOf((await ask(api, id, 'vnc', 'novnc')).body.remote_console.url));
  }
  const rows = () => api.db.queries.selectFrom('console_tokens').selectAll().execute();
  const kept = (await rows()).filter((row) => row.server_id === id).map((row) => row.token_hash);
  const hashes = tokens.map((token) => createHash('sha256').update(token).digest('hex'));
  assert.deepEqual(kept.toSorted(), hashes.slice(-20).toSorted());
  assert.equal((await rows()).length, 21, 'another server’s stay');
  const last = tokens.at(-1) ?? '';
  assert.equal((await findConsoleToken(api.db.queries, last, api.clock + 599_999))?.server_id, id);
  assert.equal(await findConsoleToken(api.db.queries, last, api.clock + 600_000), undefined);
  api.clock += 600_000;
  await ask(api, other, 'vnc', 'novnc');
  assert.equal((await rows()).length, 1);
});

test('an administrator asks what a token opens', async () => {
  await using api = await apiHarness();
  const id = await api.add();
  const token = tokenOf((await ask(api, id, 'serial', 'serial')).body.remote_console.url);
  const show = (who: Caller, which = token, version = '2.31') =>
    api.call(who, 'GET', `/os-console-auth-tokens/${which}`, { version });
  assert.deepEqual((await show('admin')).body, {
    console: { instance_uuid: id, host: 'host-1', port: null, internal_access_path: null },
  });
  assert.equal((await show('demo')).status, 403);
  assert.equal((await show('admin', token, '2.30')).status, 401);
  const unknown = await show('admin', 'unknown');
  assert.deepEqual([unknown.status, unknown.body.itemNotFound.message], [404, 'Token not found']);
  await api.db.queries.updateTable('servers').set({ deleted_at: 1 }).where('id', '=', id).execute();
  assert.equal((await show('admin')).status, 404, 'the server is gone');
});
