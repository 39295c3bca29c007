/** Instance actions: what was done with a server, who sees how much of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ApiHarness, apiHarness, type Caller } from '../api-harness.ts';

/** A server with a snapshot and a deletion that were asked for. */
async function history(api: ApiHarness) {
  const id = await api.add();
  const requests: string[] = [];
  const remember = (answer: { headers: Readonly<Record<string, unknown>> }) =>
    requests.push(String(answer.headers['x-compute-request-id']));
  remember(await api.call('demo', 'POST', `/servers/${id}/action`, { body: { createImage: { name: 'snap' } } }));
  api.clock += 1000;
  remember(await api.call('demo', 'DELETE', `/servers/${id}`));
  return { id, requests };
}

const list = async (api: ApiHarness, id: string, version: string, query = '') =>
  api.call('demo', 'GET', `/servers/${id}/os-instance-actions${query}`, { version });

test('actions are listed newest first, with the keys of the microversion', async () => {
  await using api = await apiHarness();
  const { id, requests } = await history(api);
  const { instanceActions } = (await list(api, id, '2.1')).body;
  assert.deepEqual(
    instanceActions.map((each: { action: string; request_id: string }) => [each.action, each.request_id]),
    [
      ['delete', requests[1]],
      ['createImage', requests[0]],
    ],
  );
  const keys = ['action', 'instance_uuid', 'message', 'project_id', 'request_id', 'start_time', 'user_id'];
  assert.deepEqual(Object.keys(instanceActions[0]).toSorted(), keys);
  assert.match(instanceActions[0].start_time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/);
  const later = (await list(api, id, '2.58')).body.instanceActions[0];
  assert.deepEqual(Object.keys(later).toSorted(), [...keys, 'updated_at'].toSorted());
});

test('those of a deleted server are there from 2.21 on', async () => {
  await using api = await apiHarness();
  const { id, requests } = await history(api);
  await api.db.queries.updateTable('servers').set({ deleted_at: api.clock, vm_state: 'deleted' }).execute();
  assert.equal((await list(api, id, '2.20')).status, 404);
  assert.equal((await list(api, id, '2.21')).body.instanceActions.length, 2);
  const one = `/servers/${id}/os-instance-actions/${requests[0]}`;
  assert.equal((await api.call('demo', 'GET', one, { version: '2.20' })).status, 404);
  assert.equal((await api.call('demo', 'GET', one, { version: '2.21' })).status, 200);
  assert.equal((await api.call('other', 'GET', one, { version: '2.21' })).status, 404);
});

test('events are for administrators until 2.50, for all from 2.51; tracebacks stay theirs', async () => {
  await using api = await apiHarness();
  const { id, requests } = await history(api);
  const show = async (who: Caller, version: string) =>
    (await api.call(who, 'GET', `/servers/${id}/os-instance-actions/${requests[0]}`, { version })).body.instanceAction;
  assert.equal('events' in (await show('demo', '2.50')), false);
  assert.ok('events' in (await show('admin', '2.1')));
  assert.ok('events' in (await show('demo', '2.51')));
  const unknown = `/servers/${id}/os-instance-actions/req-x`;
  assert.equal((await api.call('demo', 'GET', unknown)).status, 404);
});

test('from 2.58 on the list comes in pages', async () => {
  await using api = await apiHarness();
  const { id, requests } = await history(api);
  const first = (await list(api, id, '2.58', '?limit=1')).body;
  assert.equal(first.instanceActions.length, 1);
  const { href } = first.links[0];
  const second = (
    await api.call('demo', 'GET', href.slice('http://cloud.example/compute/v2.1'.length), { version: '2.58' })
  ).body;
  assert.deepEqual(
    second.instanceActions.map((each: { request_id: string }) => each.request_id),
    [requests[0]],
  );
  assert.equal((await list(api, id, '2.57', '?limit=1')).body.instanceActions.length, 2);
  assert.equal((await list(api, id, '2.58', '?marker=req-none')).status, 400);
});
