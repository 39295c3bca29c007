/**
 * Kills a cloud at every point of one kind while it works on one request, and looks what became of it: what was accepted
 * must end as done, what was not must have left nothing.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OperationKind } from '#domain/operation/operation.ts';
import type { Client } from '../client.ts';
import { emptyDisk } from '../cloud.ts';
import { eventually } from '../eventually.ts';
import type { CloudToKill } from './cloud-to-kill.ts';

/** How one operation is begun and judged. */
export interface Scenario {
  readonly kind: OperationKind;
  /** Brings the cloud to where it can begin. */
  prepare(cloud: CloudToKill): Promise<Attempt>;
}

export interface Attempt {
  /** Sends the request; may be cut off. */
  readonly request: (client: Client) => Promise<unknown>;
  /** Throws unless it is as after the operation. */
  readonly done: (cloud: CloudToKill) => Promise<void>;
  /** Throws unless it is as if the request had never come. */
  readonly never: (cloud: CloudToKill) => Promise<void>;
  /** Gives back what it holds, so that the data folder can be used for the next. */
  readonly cleanUp: (cloud: CloudToKill) => Promise<void>;
}

const counts = { points: 0, stuck: 0, leaked: 0 };

/** What the kills of this process came to, for people. */
export function tally(driver: string): string {
  const { points, stuck, leaked } = counts;
  return `${points} ${driver}; stuck ${stuck}, leaked ${leaked}`;
}

/** What is looked at beside the scenario's own, each time. */
export type Extra = (cloud: CloudToKill, moment: 'before' | 'after') => Promise<void>;

/** One kill at `point`; answers false when the operation ended without coming to it. */
export async function killAt(
  cloud: CloudToKill,
  scenario: Scenario,
  point: string,
  options: { readonly again?: string; readonly extra?: Extra } = {},
): Promise<boolean> {
  const attempt = await scenario.prepare(cloud);
  await options.extra?.(cloud, 'before');
  const before = await countOf(cloud, scenario.kind);
  const client = await cloud.demo();
  await cloud.arm(point);
  const answered = attempt.request(client).catch(() => undefined);
  const ended = eventually(`death at ${point}, or the end of ${scenario.kind}`, async () => {
    if (!cloud.isAlive) return true;
    return (await countOf(cloud, scenario.kind)) > before && (await cloud.isAtRest());
  });
  await Promise.race([cloud.death(), ended]);
  await Promise.all([ended, Promise.race([answered, cloud.death()])]);
  // It may also die at the very end, when the record says already that all is done.
  await cloud.arm('none');
  cloud.checkDeath();
  const died = !cloud.isAlive;
  if (died) {
    // Once more while it recovers, where wanted; then in peace.
    if (options.again !== undefined && (await cloud.start(options.again)))
      await Promise.race([cloud.death(), cloud.atRest().catch(() => undefined)]);
    cloud.checkDeath();
    if (!cloud.isAlive) await cloud.start();
  }
  await cloud.arm('none');
  if (died) counts.points += 1;
  await cloud.atRest().catch((error: unknown) => {
    counts.stuck += 1;
    throw new Error(`killed at ${point}: ${(error as Error).message}`);
  });
  const wasAccepted = (await countOf(cloud, scenario.kind)) > before;
  await (wasAccepted ? attempt.done(cloud) : attempt.never(cloud)).catch((error: unknown) => {
    throw new Error(`killed at ${point}: ${(error as Error).message}`, { cause: error });
  });
  const leaks = await cloud.leaks();
  counts.leaked += leaks.length;
  assert.deepEqual(leaks, [], `killed at ${point}`);
  await options.extra?.(cloud, 'after');
  await attempt.cleanUp(cloud);
  return died;
}

async function countOf(cloud: CloudToKill, kind: OperationKind): Promise<number> {
  return cloud.withRecord(async (db) => {
    const rows = await db.queries.selectFrom('operations').select('id').where('kind', '=', kind).execute();
    return rows.length;
  });
}

const server = (id: string) => `/compute/v2.1/servers/${id}`;

async function launch(client: Client, imageRef: string): Promise<string> {
  const wanted = { name: 'victim', imageRef, flavorRef: '42', networks: 'auto' };
  const body = await client.ok<{ server: { id: string } }>('POST', '/compute/v2.1/servers', {
    json: { server: wanted },
  });
  return body.server.id;
}

async function statusOf(cloud: CloudToKill, id: string): Promise<string> {
  const answer = await (await cloud.demo()).request<{ server: { status: string; fault?: unknown } }>('GET', server(id));
  return answer.status === 404
    ? 'gone'
    : `${answer.body.server.status}${answer.body.server.fault ? ' with a fault' : ''}`;
}

function becomes(cloud: CloudToKill, id: string, status: string): Promise<boolean> {
  return eventually(`server ${id} ${status}`, async () => (await statusOf(cloud, id)) === status, {
    state: () => statusOf(cloud, id),
    withinMs: 60_000,
  });
}

async function servers(cloud: CloudToKill): Promise<string[]> {
  const path = '/compute/v2.1/servers';
  const body = await (await cloud.demo()).ok<{ servers: { id: string }[] }>('GET', path);
  return body.servers.map(({ id }) => id);
}

async function terminate(cloud: CloudToKill, id: string): Promise<void> {
  await (await cloud.demo()).request('DELETE', server(id));
  await becomes(cloud, id, 'gone');
  await cloud.atRest();
}

/** The three operations on a cloud that has one image. */
export function scenarios(image: string): Readonly<Record<OperationKind, Scenario>> {
  return {
    create: {
      kind: 'create',
      async prepare() {
        return {
          request: (client) => launch(client, image),
          done: async (cloud) => {
            const [id, ...others] = await servers(cloud);
            assert.equal(others.length, 0);
            assert.equal(await statusOf(cloud, id ?? ''), 'ACTIVE');
          },
          never: async (cloud) => assert.deepEqual(await servers(cloud), []),
          cleanUp: async (cloud) => {
            for (const id of await servers(cloud)) await terminate(cloud, id);
          },
        };
      },
    },
    createImage: {
      kind: 'createImage',
      async prepare(cloud) {
        const client = await cloud.demo();
        const id = (await servers(cloud))[0] ?? (await launch(client, image));
        await becomes(cloud, id, 'ACTIVE');
        const snapshots = async () => {
          const path = `/image/v2/images?instance_uuid=${id}`;
          return (await (await cloud.demo()).ok<{ images: { id: string; status: string }[] }>('GET', path)).images;
        };
        return {
          request: (asking) => asking.ok('POST', `${server(id)}/action`, { json: { createImage: { name: 'snap' } } }),
          done: async () => {
            assert.equal(await statusOf(cloud, id), 'ACTIVE');
            assert.deepEqual(
              (await snapshots()).map(({ status }) => status),
              ['active'],
            );
          },
          never: async () => {
            assert.equal(await statusOf(cloud, id), 'ACTIVE');
            assert.deepEqual(await snapshots(), []);
          },
          cleanUp: async () => {
            for (const each of await snapshots())
              await (await cloud.demo()).ok('DELETE', `/image/v2/images/${each.id}`);
          },
        };
      },
    },
    delete: {
      kind: 'delete',
      async prepare(cloud) {
        const id = (await servers(cloud))[0] ?? (await launch(await cloud.demo(), image));
        await becomes(cloud, id, 'ACTIVE');
        return {
          request: (client) => client.ok('DELETE', server(id)),
          done: async () => assert.equal(await statusOf(cloud, id), 'gone'),
          never: async () => assert.equal(await statusOf(cloud, id), 'ACTIVE'),
          cleanUp: async () => undefined,
        };
      },
    },
  };
}

/** An image of the demo user: these bytes, or an empty disk. */
export async function registerImage(cloud: CloudToKill, bytes?: Uint8Array): Promise<string> {
  const client = await cloud.demo();
  const wanted = { name: 'tiny', disk_format: 'qcow2', container_format: 'bare' };
  const { id } = await client.ok<{ id: string }>('POST', '/image/v2/images', { json: wanted });
  const dir = await mkdtemp(join(tmpdir(), 'micronova-disk-'));
  try {
    await client.ok('PUT', `/image/v2/images/${id}/file`, { bytes: bytes ?? (await emptyDisk(dir)) });
  } finally {
    await rm(dir, { recursive: true });
  }
  return id;
}
