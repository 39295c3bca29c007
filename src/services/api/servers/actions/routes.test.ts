/** Actions and deletion: who may, in which state, and the words of each refusal. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ServerRow } from '#db/tables/compute.ts';
import { VM_STATES } from '#domain/instance/states.ts';
import { type ApiHarness, apiHarness, type Caller, PROJECTS } from '../../api-harness.ts';

const act = (api: ApiHarness, id: string, body: unknown, who: Caller = 'demo', version = '2.1') =>
  api.call(who, 'POST', `/servers/${id}/action`, { body, version });

const snapshot = { createImage: { name: 'snap', metadata: { a: 'b' } } };

async function operationsOn(api: ApiHarness, id: string) {
  return api.db.queries.selectFrom('operations').selectAll().where('server_id', '=', id).execute();
}

test('a snapshot answers a Location until 2.44 and the id from 2.45', async () => {
  await using api = await apiHarness();
  const old = await act(api, await api.add(), snapshot);
  assert.equal(old.status, 202);
  assert.match(String(old.headers.location), /^http:\/\/cloud\.example\/image\/v2\/images\/[0-9a-f-]{36}$/);
  assert.equal(old.text, '');
  const newer = await act(api, await api.add(), snapshot, 'demo', '2.45');
  assert.deepEqual(Object.keys(newer.body), ['image_id']);
});

test('a snapshot begins only in the states of the table, and never while something is going on', async () => {
  await using api = await apiHarness();
  for (const vmState of VM_STATES.filter((state) => state !== 'deleted')) {
    const id = await api.add({ vm_state: vmState });
    const { status, body } = await act(api, id, snapshot);
    const allowed = ['active', 'stopped', 'paused', 'suspended'].includes(vmState);
    assert.equal(status, allowed ? 202 : 409, vmState);
    if (!allowed)
      assert.deepEqual(body, {
        conflictingRequest: {
          code: 409,
          message: `Cannot 'createImage' instance ${id} while it is in vm_state ${vmState}`,
        },
      });
  }
  const busy = await api.add({ task_state: 'image_uploading', operation_id: 'x' });
  const { body } = await act(api, busy, snapshot);
  const message = `Cannot 'createImage' instance ${busy} while it is in task_state image_uploading`;
  assert.equal(body.conflictingRequest.message, message);
});

test('a lock holds off everybody but administrators', async () => {
  await using api = await apiHarness();
  const id = await api.add({ locked: 1 });
  for (const asked of [() => act(api, id, snapshot), () => api.call('demo', 'DELETE', `/servers/${id}`)]) {
    const { status, body } = await asked();
    assert.deepEqual([status, body.conflictingRequest.message], [409, `Instance ${id} is locked`]);
  }
  assert.equal((await operationsOn(api, id)).length, 0);
  assert.equal((await act(api, id, snapshot, 'admin')).status, 202);
});

test('an action is one key that is known', async () => {
  await using api = await apiHarness();
  const id = await api.add();
  const message = async (body: unknown) => {
    const answer = await act(api, id, body);
    assert.equal(answer.status, 400, JSON.stringify(body));
    return answer.body.badRequest.message;
  };
  assert.equal(await message({ fly: null }), 'There is no such action: fly');
  assert.equal(await message({ toString: null }), 'There is no such action: toString');
  for (const body of [{}, { createImage: { name: 'a' }, fly: null }, [], 'text', null]) await message(body);
  for (const wrong of [{}, { name: '' }, { name: 1 }, { name: 'a', foo: 1 }, { name: 'a', metadata: [] }])
    await message({ createImage: wrong });
  for (const length of [-2, 1.5, 'x', '-', {}, true]) await message({ 'os-getConsoleOutput': { length } });
});

test('the console output is cut to the lines asked for', async () => {
  await using api = await apiHarness();
  const id = await api.add();
  api.consoleText = 'one\ntwo\nthree\n';
  const output = async (argument: object) => {
    const answer = await act(api, id, { 'os-getConsoleOutput': argument });
    assert.equal(answer.status, 200);
    return answer.body.output;
  };
  for (const all of [{}, { length: null }, { length: -1 }, { length: '-1' }, { length: 10 }])
    assert.equal(await output(all), 'one\ntwo\nthree\n', JSON.stringify(all));
  assert.equal(await output({ length: 1 }), 'three\n');
  assert.equal(await output({ length: '2' }), 'two\nthree\n');
  assert.equal(await output({ length: 0 }), '');
  const early = await act(api, await api.add({ host: null }), { 'os-getConsoleOutput': {} });
  assert.equal(early.status, 409);
});

test('a server can be deleted in every state and while anything is going on, and twice', async () => {
  await using api = await apiHarness();
  const states: Partial<ServerRow>[] = [
    ...VM_STATES.filter((state) => state !== 'deleted').map((vm_state) => ({ vm_state })),
    { vm_state: 'building', task_state: 'spawning', operation_id: 'x' },
    { task_state: 'image_uploading', operation_id: 'x' },
  ];
  for (const columns of states) {
    const id = await api.add(columns);
    for (let round = 0; round < 2; round++)
      assert.equal((await api.call('demo', 'DELETE', `/servers/${id}`)).status, 204, JSON.stringify(columns));
    assert.equal((await operationsOn(api, id)).length, 1, 'the second wish is granted by the first');
    const { server } = (await api.call('demo', 'GET', `/servers/${id}`)).body;
    assert.equal(server['OS-EXT-STS:task_state'], 'deleting');
  }
  const gone = await api.add({ deleted_at: api.clock, vm_state: 'deleted' });
  const { status, body } = await api.call('demo', 'DELETE', `/servers/${gone}`);
  assert.deepEqual(
    [status, body],
    [404, { itemNotFound: { code: 404, message: `Instance ${gone} could not be found.` } }],
  );
});

test("another project's server does not exist, whatever is asked of it; readers only look", async () => {
  await using api = await apiHarness();
  const id = await api.add();
  const requests: readonly [string, string, unknown?][] = [
    ['GET', ''],
    ['PUT', '', { server: { name: 'mine' } }],
    ['DELETE', ''],
    ['POST', '/action', snapshot],
    ['POST', '/action', { 'os-getConsoleOutput': {} }],
    ['GET', '/os-instance-actions'],
    ['GET', '/os-instance-actions/req-00000000-0000-4000-8000-000000000000'],
  ];
  for (const [method, path, body] of requests) {
    const asked = { version: '2.93', ...(body !== undefined && { body }) };
    const foreign = await api.call('other', method, `/servers/${id}${path}`, asked);
    assert.deepEqual([foreign.status, foreign.body.itemNotFound.message], [404, `Instance ${id} could not be found.`]);
    assert.equal((await api.call('nobody', method, `/servers/${id}${path}`, asked)).status, 401);
    const reader = await api.call('reader', method, `/servers/${id}${path}`, asked);
    if (method !== 'GET') assert.equal(reader.status, 403, `${method} ${path}`);
    const mate = await api.call('mate', method, `/servers/${id}${path}`, asked);
    assert.notEqual(mate.status, 403, 'servers belong to the project, not to the user');
  }
});

test('a path may name the project, which must be that of the token', async () => {
  await using api = await apiHarness();
  const id = await api.add();
  const status = async (path: string) => {
    const headers = { 'x-auth-token': 'demo' };
    const response = await api.server.inject({ method: 'GET', url: `/compute${path}`, headers });
    return [response.statusCode, response.statusCode === 400 ? response.json().badRequest.message : ''];
  };
  const { demo, other } = PROJECTS;
  assert.deepEqual(await status(`/v2.1/${demo}/servers/${id}`), [200, '']);
  assert.deepEqual(await status(`/v2/${demo}/servers/detail?limit=1`), [200, '']);
  assert.deepEqual(await status(`/v2/servers/${id}`), [200, '']);
  assert.deepEqual(await status(`/v2.1/${other}/servers/${id}`), [
    400,
    `Malformed request URL: URL's project_id '${other}' doesn't match Context's project_id '${demo}'`,
  ]);
});

test('a server that changes by itself between being read and being taken is looked at again', async () => {
  await using api = await apiHarness();
  const change = (id: string, columns: Partial<ServerRow>) => {
    api.beforeTransaction = async () => {
      api.beforeTransaction = async () => undefined;
      await api.db.queries.updateTable('servers').set(columns).where('id', '=', id).execute();
    };
  };
  const deleted = await api.add();
  change(deleted, { vm_state: 'stopped' });
  assert.equal((await api.call('demo', 'DELETE', `/servers/${deleted}`)).status, 204);
  assert.deepEqual(
    (await operationsOn(api, deleted)).map(({ kind }) => kind),
    ['delete'],
  );
  const paused = await api.add();
  change(paused, { vm_state: 'stopped' });
  const { status, body } = await act(api, paused, { pause: null });
  assert.deepEqual(
    [status, body.conflictingRequest.message],
    [409, `Cannot 'pause' instance ${paused} while it is in vm_state stopped`],
  );
});

test('a server that changes each time it is looked at is refused in the end', async () => {
  await using api = await apiHarness();
  const id = await api.add();
  let state: ServerRow['vm_state'] = 'active';
  api.beforeTransaction = async () => {
    state = state === 'active' ? 'stopped' : 'active';
    await api.db.queries.updateTable('servers').set({ vm_state: state }).where('id', '=', id).execute();
  };
  const { status, body } = await api.call('demo', 'DELETE', `/servers/${id}`);
  assert.deepEqual(
    [status, body.conflictingRequest.message],
    [409, `Instance ${id} changed while 'delete' was asked for; try again.`],
  );
});
