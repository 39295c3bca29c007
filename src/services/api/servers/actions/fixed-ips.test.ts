/** Addresses of a server through Nova: one more, one less, the port stays, and the hosts hear of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiHarness } from '../../api-harness.ts';

test('a server gets an address more and loses one, on the port that it has', async () => {
  await using api = await apiHarness();
  const id = await api.add();
  const network = await api.addNetwork('one', '10.4.0.0/24');
  await api.join(id, network);
  const act = (body: object, version = '2.43') =>
    api.call('demo', 'POST', `/servers/${id}/action`, { body, version }).then(({ status }) => status);
  const ports = async () => {
    const { body } = await api.call('demo', 'GET', `/servers/${id}/os-interface`);
    return body.interfaceAttachments.map((port: { fixed_ips: { ip_address: string }[] }) =>
      port.fixed_ips.map(({ ip_address }) => ip_address),
    );
  };
  const [first] = (await ports())[0];
  assert.equal(await act({ addFixedIp: { networkId: network } }), 202);
  const [both] = await ports();
  assert.equal(both.length, 2);
  assert.ok(both.includes(first));
  assert.deepEqual(api.changedNetworks, [network]);
  assert.equal(await act({ removeFixedIp: { address: first } }), 202);
  const left = both.filter((address: string) => address !== first);
  assert.deepEqual(await ports(), [left]);
  assert.equal(await act({ removeFixedIp: { address: first } }), 404, 'has it no more');
  assert.equal(await act({ removeFixedIp: { address: left[0] } }), 202);
  assert.deepEqual(await ports(), [[]]);
  for (const count of [1, 2, 3, 4, 5]) {
    assert.equal(await act({ addFixedIp: { networkId: network } }), 202);
    assert.equal((await ports())[0].length, count);
  }
  assert.equal(await act({ addFixedIp: { networkId: network } }), 400, 'no more than five');
});

test('what is not there is said so, and 2.44 knows neither', async () => {
  await using api = await apiHarness();
  const id = await api.add();
  const network = await api.addNetwork('one');
  const act = (body: object, version?: string) =>
    api
      .call('demo', 'POST', `/servers/${id}/action`, { body, ...(version && { version }) })
      .then(({ status }) => status);
  assert.equal(await act({ addFixedIp: { networkId: network } }), 404);
  assert.equal(await act({ removeFixedIp: { address: '10.0.0.9' } }), 404);
  assert.equal(await act({ removeFixedIp: { address: 'x'.repeat(46) } }), 400);
  assert.equal(await act({ addFixedIp: { networkId: network } }, '2.44'), 400);
  assert.deepEqual(api.changedNetworks, []);
});
