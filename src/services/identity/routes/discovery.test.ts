/** Versions, the domain and the catalogue: what clients read before anything else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { identityUnderTest } from '../testing/identity-under-test.ts';

test('discovery answers 300 at the root and 200 at /v3, with and without a slash', async () => {
  await using cloud = await identityUnderTest();
  for (const path of ['', '/']) {
    const root = await cloud.call('GET', path);
    assert.equal(root.status, 300);
    assert.equal(root.body.versions.values[0].id, 'v3.14');
  }
  for (const path of ['/v3', '/v3/']) {
    const version = await cloud.call('GET', path);
    assert.equal(version.status, 200);
    assert.equal(version.body.version.status, 'stable');
    assert.equal(version.body.version.links[0].href, 'http://cloud.example:5000/identity/v3/');
  }
});

test('the domain is found by id and by name', async () => {
  await using cloud = await identityUnderTest();
  const token = await cloud.token('admin');
  const ids = async (path: string) =>
    (await cloud.call('GET', path, { token })).body.domains.map((domain: { id: string }) => domain.id);
  assert.deepEqual(await ids('/v3/domains'), ['default']);
  assert.deepEqual(await ids('/v3/domains?name=Default'), ['default']);
  assert.deepEqual(await ids('/v3/domains?name=other'), []);
  assert.equal((await cloud.call('GET', '/v3/domains/default', { token })).body.domain.name, 'Default');
  const other = await cloud.call('GET', '/v3/domains/other', { token });
  assert.equal(other.body.error.message, 'Could not find domain: other.');
});

test('services, endpoints and regions agree with the catalogue of the token', async () => {
  await using cloud = await identityUnderTest();
  const token = await cloud.token('admin');
  const { catalog } = (await cloud.call('GET', '/v3/auth/catalog', { token })).body;
  const { services } = (await cloud.call('GET', '/v3/services', { token })).body;
  assert.deepEqual(
    services.map((each: { id: string; type: string }) => [each.id, each.type]),
    catalog.map((each: { id: string; type: string }) => [each.id, each.type]),
  );
  const [compute] = (await cloud.call('GET', '/v3/services?type=compute', { token })).body.services;
  assert.equal(compute.name, 'nova');
  const query = `service_id=${compute.id}&interface=public`;
  const { endpoints } = (await cloud.call('GET', `/v3/endpoints?${query}`, { token })).body;
  assert.equal(endpoints.length, 1);
  assert.equal(endpoints[0].url, 'http://cloud.example:5000/compute/v2.1');
  assert.equal(
    (await cloud.call('GET', `/v3/endpoints/${endpoints[0].id}`, { token })).body.endpoint.region,
    'RegionOne',
  );
  assert.equal((await cloud.call('GET', `/v3/services/${compute.id}`, { token })).body.service.type, 'compute');
  assert.equal((await cloud.call('GET', '/v3/regions', { token })).body.regions[0].id, 'RegionOne');
  assert.equal((await cloud.call('GET', '/v3/regions/RegionTwo', { token })).status, 404);
});
