/** Each event is answered by itself: taken, or not because there is no such server or it is on no host. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { apiHarness } from './api-harness.ts';

test('events are answered one by one, with 207 where one failed', async () => {
  await using api = await apiHarness();
  const tell = (events: object[], version = '2.1', who: 'admin' | 'demo' = 'admin') =>
    api.call(who, 'POST', '/os-server-external-events', { version, body: { events } });
  const [here, nowhere] = [await api.add(), await api.add({ host: null })];
  const plugged = { name: 'network-vif-plugged', server_uuid: here, tag: 'port' };
  const good = await tell([plugged]);
  assert.deepEqual([good.status, good.body], [200, { events: [{ ...plugged, status: 'completed', code: 200 }] }]);
  const mixed = await tell([
    { ...plugged, status: 'in-progress' },
    { ...plugged, server_uuid: nowhere },
    { ...plugged, server_uuid: randomUUID() },
  ]);
  assert.equal(mixed.status, 207);
  assert.deepEqual(
    mixed.body.events.map(({ code, status }: Record<string, unknown>) => [code, status]),
    [
      [200, 'in-progress'],
      [422, 'failed'],
      [404, 'failed'],
    ],
  );
  const extended = { name: 'volume-extended', server_uuid: here };
  assert.equal((await tell([extended], '2.50')).status, 400);
  assert.equal((await tell([extended], '2.51')).status, 200);
  assert.equal((await tell([])).status, 400);
  assert.equal((await tell([plugged], '2.1', 'demo')).status, 403);
});
