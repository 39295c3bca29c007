/** Addresses without what later versions put beside them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiHarness } from '../api-harness.ts';

test('addresses are listed by network, bare', async () => {
  await using api = await apiHarness();
  const id = await api.add();
  await api.join(id, await api.addNetwork('private', '10.0.0.5/32'));
  const all = await api.call('demo', 'GET', `/servers/${id}/ips`);
  assert.deepEqual(all.body, { addresses: { private: [{ version: 4, addr: '10.0.0.5' }] } });
  const one = await api.call('reader', 'GET', `/servers/${id}/ips/private`);
  assert.deepEqual([one.status, one.body], [200, { private: [{ version: 4, addr: '10.0.0.5' }] }]);
  const none = await api.call('demo', 'GET', `/servers/${id}/ips/constructor`);
  assert.deepEqual(
    [none.status, none.body.itemNotFound.message],
    [404, 'Instance is not a member of specified network'],
  );
  assert.equal((await api.call('other', 'GET', `/servers/${id}/ips`)).status, 404);
});

test('a server without a port has no addresses', async () => {
  await using api = await apiHarness();
  const id = await api.add();
  assert.deepEqual((await api.call('demo', 'GET', `/servers/${id}/ips`)).body, { addresses: {} });
});
