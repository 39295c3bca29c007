import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import pino from 'pino';
import type { GuestFacts } from '#domain/metadata/facts.ts';
import { MetadataServer, type MetadataServerOptions } from './metadata-server.ts';

const log = pino({ level: 'silent' });
const facts = { id: 'web', name: 'web', metadata: {}, nics: [], key: null, userData: null } as unknown as GuestFacts;

async function serving(options: Partial<MetadataServerOptions>) {
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  const server = new MetadataServer({ identityOf: () => 'port', factsOf: async () => facts, log, ...options });
  server.serve(listener);
  const ask = (path: string, init: RequestInit = {}) => fetch(`http://127.0.0.1:${port}${path}`, init);
  return { ask, [Symbol.asyncDispose]: () => server.close() };
}

test('who asks is known from where the question comes, and from nothing that it says', async () => {
  const asked: string[] = [];
  await using it = await serving({
    identityOf: (address) => (address === '127.0.0.1' ? 'port-of-127' : null),
    factsOf: async (portId) => {
      asked.push(portId);
      return facts;
    },
  });
  const headers = { 'X-Instance-ID': 'other', 'X-Forwarded-For': '10.0.0.9', 'X-Network-ID': 'other' };
  const answer = await it.ask('/openstack/latest/meta_data.json', { headers });
  assert.equal(((await answer.json()) as { uuid: string }).uuid, 'web');
  assert.deepEqual(asked, ['port-of-127']);
});

test('nobody’s address gets nothing, a server that is gone gets nothing, and neither learns what there is', async () => {
  await using stranger = await serving({ identityOf: () => null });
  assert.equal((await stranger.ask('/')).status, 404);
  await using gone = await serving({ factsOf: async () => null });
  assert.equal((await gone.ask('/openstack/latest/meta_data.json')).status, 404);
});

test('only reading is answered, and failures tell nothing', async () => {
  await using it = await serving({
    factsOf: async () => {
      throw new Error('secret of the house');
    },
  });
  const failed = await it.ask('/');
  assert.deepEqual([failed.status, await failed.text()], [500, '']);
  assert.equal((await it.ask('/', { method: 'POST', body: 'x' })).status, 405);
});

test('a guest that boots is looked up once, and again after a while', async () => {
  let looked = 0;
  let now = 0;
  await using it = await serving({
    now: () => now,
    factsOf: async () => {
      looked += 1;
      return facts;
    },
  });
  for (let round = 0; round < 10; round += 1) await (await it.ask('/openstack/')).text();
  assert.equal(looked, 1);
  now = 5_001;
  await (await it.ask('/openstack/')).text();
  assert.equal(looked, 2);
});
