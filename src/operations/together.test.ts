/** Operations that meet: the stronger one ends the weaker, none waits for ever, and nothing is left of either. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { VERSIONS } from '#contracts/operation-inputs.ts';
import { insertOperation, takeServer } from '#db/repo/operations.ts';
import { findServer } from '#db/repo/servers.ts';
import { CloudError } from '#domain/errors.ts';
import { STRONGER } from '#domain/instance/transitions.ts';
import { StepFaults } from '#journal/faults.ts';
import { type TestCloud, testCloud } from '../../test/cloud.ts';
import { eventually } from '../../test/eventually.ts';
import { OPERATIONS } from './catalogue.ts';

const fake = () => testCloud({ driver: 'fake' });

test('whatever may begin while something goes on waits for the end of that first', () => {
  // What was done meanwhile is written down for it: see `changeServerTakenOver`.
  for (const kind of STRONGER) assert.equal(OPERATIONS[kind].steps[0]?.name, 'preempt', kind);
  assert.ok(STRONGER.length > 3);
});

test('a launch that hangs in the host is taken back by a delete', async () => {
  await using cloud = await fake();
  await cloud.image();
  cloud.driver.setFault('*', { blockAt: ['create'] });
  const server = await cloud.server().accepted();
  await hasTask(cloud, server.id, 'block_device_mapping');
  const deletion = await server.delete();
  cloud.driver.setFault('*', null);
  assert.equal((await cloud.rested(server.requestId)).state, 'undone');
  assert.equal((await cloud.rested(deletion)).state, 'done');
  assert.deepEqual(await cloud.leaks(), []);
});

test('a snapshot in the middle of its copy is taken back by a delete', async () => {
  await using cloud = await fake();
  const server = await cloud.server().active();
  cloud.driver.setFault(server.id, { blockAt: ['backupDisk'] });
  const snapshot = await server.snapshot();
  await hasTask(cloud, server.id, 'image_snapshot');
  const deletion = await server.delete();
  assert.equal((await cloud.rested(snapshot.requestId)).state, 'undone');
  assert.equal((await cloud.rested(deletion)).state, 'done');
  const image = await (await cloud.as('demo')).request('GET', `/image/v2/images/${snapshot.imageId}`);
  assert.equal(image.status, 404);
  assert.deepEqual(await cloud.leaks(), []);
});

test('an operation whose lease ran out while it was run is taken anew once, and kept', async () => {
  await using cloud = await testCloud({ driver: 'fake', overrides: { conductor: { leaseMs: 6_000 } } });
  await cloud.image();
  cloud.driver.setFault('*', { blockAt: ['create'] });
  const server = await cloud.server().accepted();
  await hasTask(cloud, server.id, 'block_device_mapping');
  const lease = () =>
    cloud.db.queries
      .selectFrom('operations')
      .select(['fence', 'lease_until'])
      .where('server_id', '=', server.id)
      .executeTakeFirstOrThrow();
  await cloud.waitFor('the operation is taken anew', async () => {
    if ((await lease()).fence === 2) return true;
    // As after a sleep of the machine; again when the conductor prolonged it just then.
    await cloud.db.queries.updateTable('operations').set({ lease_until: 0 }).where('fence', '=', 1).execute();
    return false;
  });
  cloud.driver.setFault('*', { blockAt: ['start'] });
  await hasTask(cloud, server.id, 'spawning');
  const { lease_until } = await lease();
  await cloud.waitFor('its lease is prolonged', async () => (await lease()).lease_until > lease_until + 1_000);
  assert.equal((await lease()).fence, 2);
  cloud.driver.setFault('*', null);
  assert.equal((await cloud.rested(server.requestId)).state, 'done');
  assert.deepEqual(await cloud.leaks(), []);
});

test('ten deletes of one server at the same moment end it once', async () => {
  await using cloud = await fake();
  const server = await cloud.server().active();
  const client = await cloud.as('demo');
  const path = `/compute/v2.1/servers/${server.id}`;
  const answers = await Promise.all(Array.from({ length: 10 }, () => client.request('DELETE', path)));
  assert.ok(answers.every(({ status }) => [204, 404, 409].includes(status)));
  await server.isGone();
  const rows = await cloud.db.queries.selectFrom('operations').select('state').where('kind', '=', 'delete').execute();
  assert.deepEqual(
    rows.map(({ state }) => state),
    ['done'],
  );
});

test('of two deletes that saw the same server, one is accepted', async () => {
  await using cloud = await fake();
  const { id } = await cloud.server().active();
  const row = await findServer(cloud.db.queries, id, null);
  assert.ok(row);
  const take = () => {
    const operation = {
      id: randomUUID(),
      kind: 'delete',
      version: VERSIONS.delete,
      serverId: id,
      input: {},
      secrets: {},
    } as const;
    const asked = { ...operation, projectId: row.project_id, userId: row.user_id, requestId: `req-${operation.id}` };
    return cloud.db.transaction(async (trx) => {
      await takeServer(trx, row, asked, Date.now());
      await insertOperation(trx, asked, Date.now());
    });
  };
  // Which of them is the database's choice.
  const taken = await Promise.allSettled([take(), take()]);
  assert.deepEqual(taken.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected']);
  await cloud.waitFor('the server gone', async () => !(await findServer(cloud.db.queries, id, null)));
});

test('a snapshot and a delete at the same moment: whoever wins, nothing is stuck', async () => {
  await using cloud = await fake();
  const servers = await Promise.all(Array.from({ length: 8 }, () => cloud.server().active()));
  await Promise.all(servers.flatMap((server) => [server.snapshot().catch(() => undefined), server.delete()]));
  await Promise.all(servers.map((server) => server.isGone()));
  assert.deepEqual(await cloud.leaks(), []);
});

test('deleting a server tries once more to take back what got stuck on it', async () => {
  const faults = new StepFaults();
  const operations = { ...OPERATIONS, createImage: faults.weave(OPERATIONS.createImage) };
  const overrides = { conductor: { operations, backOff: async () => {} } };
  await using cloud = await testCloud({ driver: 'fake', overrides });
  const server = await cloud.server().active();
  let failures = 5;
  faults.around = async ({ step, phase, run }) => {
    const output = await run();
    if (step === 'copyDisk' && failures-- > 0)
      throw new CloudError('hypervisorFailed', { what: `${phase} ${step}`, reason: 'the test wants it so' });
    return output;
  };
  const { requestId } = await server.snapshot();
  assert.equal((await cloud.rested(requestId)).state, 'needs_attention');
  await server.delete();
  await server.isGone();
  assert.equal((await cloud.rested(requestId)).state, 'undone');
  assert.deepEqual(await cloud.leaks(), []);
});

test('a guest that dies while its server is being snapshotted is SHUTOFF afterwards', async () => {
  await using cloud = await fake();
  const server = await cloud.server().active();
  cloud.driver.setFault(server.id, { blockAt: ['backupDisk'] });
  const { requestId } = await server.snapshot();
  await hasTask(cloud, server.id, 'image_snapshot');
  await cloud.driver.exit(server.id, 'crashed');
  cloud.driver.setFault(server.id, null);
  assert.equal((await cloud.rested(requestId)).state, 'done');
  await server.is('SHUTOFF');
});

test('more servers than can be worked on at once are launched and deleted, and none waits for another', async () => {
  await using cloud = await fake();
  const client = await cloud.as('demo');
  const server = { name: 'many', imageRef: await cloud.image(), flavorRef: '42', networks: 'auto', min_count: 400 };
  cloud.driver.setFault('*', { blockAt: ['create'] });
  await client.ok('POST', '/compute/v2.1/servers', { json: { server } });
  const { servers } = await client.ok<{ servers: { id: string }[] }>('GET', '/compute/v2.1/servers?limit=1000');
  assert.equal(servers.length, 400);
  await Promise.all(servers.map(({ id }) => client.ok('DELETE', `/compute/v2.1/servers/${id}`)));
  cloud.driver.setFault('*', null);
  const isEmpty = async () =>
    (await client.ok<{ servers: unknown[] }>('GET', '/compute/v2.1/servers')).servers.length === 0;
  await eventually('all gone', isEmpty, { withinMs: 60_000 });
  assert.deepEqual(await cloud.leaks(), []);
});

function hasTask(cloud: TestCloud, id: string, task: string): Promise<boolean> {
  return cloud.waitFor(`task ${task}`, async () => {
    const row = await cloud.db.queries
      .selectFrom('servers')
      .select('task_state')
      .where('id', '=', id)
      .executeTakeFirst();
    return row?.task_state === task;
  });
}
