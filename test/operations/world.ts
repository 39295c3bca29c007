/**
 * The world in which an operation is tried: a test cloud with the faults woven in, on which one trial comes after the other.
 * What must hold afterwards: taken back, the server is as it was; done, only that differs which the fixture names.
 */
import assert from 'node:assert/strict';
import { memoryTransport, type TransportFaults } from '#bus/memory.ts';
import { journalStore } from '#db/repo/journal-store.ts';
import { abandonOperation, findOperation, listOperations, resumeOperation } from '#db/repo/operations.ts';
import { findServer } from '#db/repo/servers.ts';
import { POWER_STATES } from '#domain/instance/states.ts';
import { actionOf, TRANSITIONS, type Transition } from '#domain/instance/transitions.ts';
import type { OperationKind, OperationState } from '#domain/operation/operation.ts';
import { JournalFaults, StepFaults } from '#journal/faults.ts';
import type { Trial, World } from '#journal/harness.ts';
import { OPERATIONS } from '#operations/catalogue.ts';
import { type TestCloud, testCloud } from '../cloud.ts';
import { eventually } from '../eventually.ts';
import type { TestServer } from '../server.ts';
import type { Fixture, Prepared } from './fixture.ts';
import { type Photo, photoOf } from './photo.ts';

/** A world for trials of `kind`; `bus` is how messages are delivered in it. */
export async function operationWorld(kind: OperationKind, fixture: Fixture, bus: TransportFaults = {}): Promise<World> {
  const steps = new StepFaults();
  const journal = new JournalFaults();
  const cloud = await testCloud({
    driver: 'fake',
    inMemory: true,
    sharedDisks: fixture.sharedDisks ?? false,
    ...(fixture.config && { config: fixture.config }),
    overrides: {
      get transport() {
        return memoryTransport(bus);
      },
      journal: (db) => journal.weave(journalStore(db)),
      conductor: {
        operations: { ...OPERATIONS, [kind]: steps.weave(OPERATIONS[kind]) },
        // Nobody tells it of an operation that was resumed in the record.
        lookEveryMs: 20,
        backOff: (_attempt, signal) => {
          signal.throwIfAborted();
          return new Promise((resolve) => setImmediate(resolve));
        },
      },
    },
  });
  let last: TestServer | null = null;
  return {
    steps,
    journal,
    async prepare() {
      if (last) await remove(cloud, last);
      last = null;
      const prepared = await fixture.prepare(cloud);
      last = prepared.server;
      const before = prepared.server && (await photoOf(cloud, prepared.server.id));
      const isLoose = fixture.guestIsLoose ?? false;
      return {
        async begin() {
          const trial = await beginTrial(cloud, kind, prepared, { photo: before, isLoose });
          last = trial.server;
          return trial;
        },
      };
    },
    restart: () => cloud.restart(),
    [Symbol.asyncDispose]: () => {
      steps.around = null;
      return cloud[Symbol.asyncDispose]();
    },
  };
}

interface Before {
  readonly photo: Photo | null;
  readonly isLoose: boolean;
}

async function beginTrial(
  cloud: TestCloud,
  kind: OperationKind,
  prepared: Prepared,
  before: Before,
): Promise<Trial & { readonly server: TestServer }> {
  const ofKind = async (id: string) =>
    (await listOperations(cloud.db.queries, id)).filter((operation) => operation.kind === kind);
  const earlier = prepared.server ? await ofKind(prepared.server.id) : [];
  const server = await prepared.begin();
  const { id, request_id: requestId } = await eventually('the operation accepted', async () =>
    (await ofKind(server.id)).find((operation) => !earlier.some((each) => each.id === operation.id)),
  );
  return {
    server,
    async rest() {
      const { state } = await cloud.rested(requestId);
      return { state, journal: await journalStore(cloud.db).read(id) };
    },
    async check(state, error) {
      await checkServer(cloud, server, { kind, state, error, prepared, before });
      const action = await server.action(requestId);
      assert.equal(action.action, actionOf(kind));
      assert.match(action.message ?? '', new RegExp(error ?? '^$'), 'the action tells why');
      if (state === 'done' || state === 'undone') assert.deepEqual(await cloud.leaks(), []);
      if (state === 'abandoned') await cleanUpByHand(cloud, server, id);
    },
    async resume() {
      assert.ok(await cloud.db.transaction((trx) => resumeOperation(trx, id, Date.now())));
    },
    async abandon() {
      assert.ok(await cloud.db.transaction((trx) => abandonOperation(trx, id, Date.now())));
    },
  };
}

interface Ended {
  readonly kind: OperationKind;
  readonly state: OperationState;
  readonly error: string | null;
  readonly prepared: Prepared;
  readonly before: Before;
}

async function checkServer(cloud: TestCloud, server: TestServer, ended: Ended): Promise<void> {
  const { kind, state, error, prepared, before } = ended;
  const { onFailure }: Transition = TRANSITIONS[kind];
  const after = await photoOf(cloud, server.id);
  if (state === 'done') {
    assert.deepEqual(after, prepared.done(before.photo ?? after, after));
    return;
  }
  const shown = await server.show();
  assert.equal(shown?.['OS-EXT-STS:task_state'], null);
  if (onFailure !== 'same') {
    assert.equal(after.vmState, onFailure);
    assert.match(shown?.fault?.message ?? '', new RegExp(error ?? 'never'), 'the fault tells why');
  }
  if (state !== 'undone') return;
  if (before.photo === null) {
    const { guest, disks, room, host } = after;
    assert.deepEqual({ guest, disks, room, host }, { guest: 'absent', disks: [], room: null, host: null });
    return;
  }
  const wanted = { ...before.photo, ...(onFailure !== 'same' && { vmState: onFailure }) };
  // What looked away while a person was needed is put right by looking again.
  await eventually('the record as it was', async () => {
    const { vmState } = await photoOf(cloud, server.id);
    return vmState === wanted.vmState;
  });
  assert.deepEqual(settled(await photoOf(cloud, server.id), before.isLoose), settled(wanted, before.isLoose));
}

/** Off is off, whether it had crashed before or not; in ERROR a guest may do anything. */
function settled(photo: Photo, isLoose: boolean): Photo {
  if (isLoose) return { ...photo, guest: '', powerState: 0 };
  const { guest, powerState } = photo;
  const { crashed, shutdown } = POWER_STATES;
  return {
    ...photo,
    guest: guest === 'crashed' ? 'stopped' : guest,
    powerState: powerState === crashed ? shutdown : powerState,
  };
}

/** What an abandoned operation left is its owner's: deleting the server and the image must be all that it takes. */
async function cleanUpByHand(cloud: TestCloud, server: TestServer, operationId: string): Promise<void> {
  const operation = await findOperation(cloud.db.queries, operationId);
  const { imageId } = JSON.parse(operation?.input ?? '{}') as { imageId?: string };
  await remove(cloud, server);
  if (imageId !== undefined && !USES_IMAGE.includes(operation?.kind ?? ''))
    await (await cloud.as('demo')).request('DELETE', `/image/v2/images/${imageId}`);
  // What lies in the staging folder for an image that is gone goes at the next start.
  await cloud.restart();
  assert.deepEqual(await cloud.leaks(), []);
}

/** Those whose image is not theirs. */
const USES_IMAGE: readonly string[] = ['create', 'rescue', 'evacuate'];

/** The server and its images gone. */
async function remove(cloud: TestCloud, server: TestServer): Promise<void> {
  if (await findServer(cloud.db.queries, server.id, null)) {
    await server.act('forceDelete');
    await server.isGone();
  }
  const demo = await cloud.as('demo');
  const path = `/image/v2/images?instance_uuid=${server.id}`;
  const { images } = await demo.ok<{ images: { id: string }[] }>('GET', path);
  for (const { id } of images) await demo.ok('DELETE', `/image/v2/images/${id}`);
}
