/**
 * The world in which an operation is tried: a test cloud with the faults woven in, and for each kind how it begins and
 * what must hold afterwards. A kind without an entry does not compile.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { memoryTransport, type TransportFaults } from '#bus/memory.ts';
import { journalStore } from '#db/repo/journal-store.ts';
import { abandonOperation, findOperation, resumeOperation } from '#db/repo/operations.ts';
import { statusOf, TRANSITIONS, type Transition } from '#domain/instance/states.ts';
import type { OperationKind, OperationState } from '#domain/operation/operation.ts';
import { JournalFaults, StepFaults } from '#journal/faults.ts';
import type { Trial, World } from '#journal/harness.ts';
import { OPERATIONS } from '#operations/catalogue.ts';
import { readQcow2Header } from '#services/compute/driver/qcow2.ts';
import { type TestCloud, testCloud } from './cloud.ts';
import { eventually } from './eventually.ts';
import type { TestServer } from './server.ts';

interface Prepared {
  /** Sends the request; the answer to a snapshot may never come. */
  readonly begin: () => Promise<TestServer>;
  /** What must hold in each way to end, beside what holds of every operation. */
  readonly done: (server: TestServer) => Promise<void>;
  readonly undone: (server: TestServer) => Promise<void>;
}

const FIXTURES: Record<OperationKind, (cloud: TestCloud) => Promise<Prepared>> = {
  async create(cloud) {
    await cloud.image();
    return {
      begin: () => cloud.server().accepted(),
      done: async (server) => assert.equal(await guestState(cloud, server), 'running'),
      undone: async (server) => assert.equal(await guestState(cloud, server), 'absent'),
    };
  },
  async createImage(cloud) {
    const server = await cloud.server().active();
    const images = async () => {
      const client = await cloud.as('demo');
      const path = `/image/v2/images?instance_uuid=${server.id}`;
      return (await client.ok<{ images: { id: string; status: string }[] }>('GET', path)).images;
    };
    return {
      begin: async () => {
        // Cut off by a crash, or refused with the error: the operation tells.
        server.snapshot().catch(() => undefined);
        return server;
      },
      async done() {
        const [image, ...others] = await images();
        assert.deepEqual([image?.status, others], ['active', []]);
        assert.ok(await readQcow2Header(join(cloud.data, 'images', image?.id ?? '')));
        assert.equal(await guestState(cloud, server), 'running');
      },
      async undone() {
        assert.deepEqual(await images(), []);
        assert.equal(await guestState(cloud, server), 'running');
      },
    };
  },
  async delete(cloud) {
    const server = await cloud.server().active();
    return {
      begin: async () => {
        await server.delete();
        return server;
      },
      async done() {
        assert.equal(await server.show(), null);
        assert.equal(await guestState(cloud, server), 'absent');
      },
      async undone() {
        assert.equal(await guestState(cloud, server), 'running');
      },
    };
  },
};

/** A world for trials of `kind`; `bus` is how messages are delivered in it. */
export async function operationWorld(kind: OperationKind, bus: TransportFaults = {}): Promise<World> {
  const steps = new StepFaults();
  const journal = new JournalFaults();
  const cloud = await testCloud({
    driver: 'fake',
    overrides: {
      get transport() {
        return memoryTransport(bus);
      },
      journal: (db) => journal.weave(journalStore(db)),
      conductor: {
        operations: { ...OPERATIONS, [kind]: steps.weave(OPERATIONS[kind]) },
        backOff: (_attempt, signal) => {
          signal.throwIfAborted();
          return new Promise((resolve) => setImmediate(resolve));
        },
      },
    },
  });
  return {
    steps,
    journal,
    async prepare() {
      const prepared = await FIXTURES[kind](cloud);
      return { begin: () => beginTrial(cloud, kind, prepared) };
    },
    restart: () => cloud.restart(),
    [Symbol.asyncDispose]: () => {
      steps.around = null;
      return cloud[Symbol.asyncDispose]();
    },
  };
}

async function beginTrial(cloud: TestCloud, kind: OperationKind, prepared: Prepared): Promise<Trial> {
  const server = await prepared.begin();
  const { id, request_id: requestId } = await eventually('the operation accepted', () =>
    cloud.db.queries
      .selectFrom('operations')
      .selectAll()
      .where('server_id', '=', server.id)
      .where('kind', '=', kind)
      .executeTakeFirst(),
  );
  return {
    async rest() {
      const { state } = await cloud.rested(requestId);
      return { state, journal: await journalStore(cloud.db).read(id) };
    },
    async check(state, error) {
      await checkServer(server, kind, state, error);
      const action = await server.action(requestId);
      assert.equal(action.action, kind);
      assert.match(action.message ?? '', new RegExp(error ?? '^$'), 'the action tells why');
      if (state === 'done') await prepared.done(server);
      if (state === 'undone') await prepared.undone(server);
      if (state === 'done' || state === 'undone') assert.deepEqual(await cloud.leaks(), []);
      if (state === 'abandoned') await cleanUpByHand(cloud, server, id);
    },
    async resume() {
      assert.ok(await resumeOperation(cloud.db.queries, id, Date.now()));
    },
    async abandon() {
      assert.ok(await cloud.db.transaction((trx) => abandonOperation(trx, id, Date.now())));
    },
  };
}

async function checkServer(server: TestServer, kind: OperationKind, state: OperationState, error: string | null) {
  const row: Transition = TRANSITIONS[kind];
  const shown = await server.show();
  const wanted = state === 'done' ? row.to : row.onFailure;
  if (wanted === 'deleted') {
    assert.equal(shown, null);
    return;
  }
  assert.equal(shown?.status, wanted === 'same' ? 'ACTIVE' : statusOf(wanted));
  assert.equal(shown?.['OS-EXT-STS:task_state'], null);
  if (wanted === 'error')
    assert.match(shown?.fault?.message ?? '', new RegExp(error ?? 'never'), 'the fault tells why');
}

/** What an abandoned operation left is its owner's: deleting the server and the image must be all that it takes. */
async function cleanUpByHand(cloud: TestCloud, server: TestServer, operationId: string): Promise<void> {
  const operation = await findOperation(cloud.db.queries, operationId);
  await server.delete();
  await server.isGone();
  const { imageId } = JSON.parse(operation?.input ?? '{}') as { imageId?: string };
  if (operation?.kind === 'createImage')
    await (await cloud.as('demo')).request('DELETE', `/image/v2/images/${imageId}`);
  // What lies in the staging folder for an image that is gone goes at the next start.
  await cloud.restart();
}

async function guestState(cloud: TestCloud, server: TestServer): Promise<string> {
  return (await cloud.driver.inspect(server.id)).state;
}
