/**
 * For each kind of operation: the state in which it is begun, and what must be there once it is done, or as if it had never been
 * asked for. Everything is looked at from outside, over HTTP and in the data folder, with either driver.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OperationKind } from '#domain/operation/operation.ts';
import type { Client } from '../client.ts';
import { emptyDisk } from '../cloud.ts';
import { eventually } from '../eventually.ts';
import { privateNetwork } from '../networks.ts';
import type { CloudToKill } from './cloud-to-kill.ts';
import type { Scenario } from './kill-points.ts';

/** A request, and the status that it leads to when nothing happens. */
interface Act {
  readonly action: string;
  readonly argument?: unknown;
  readonly as?: 'admin';
  readonly status: string;
}

interface Story {
  /** What brings an ACTIVE server to where it begins. */
  readonly from: readonly Act[];
  readonly act: Act;
  /** How many images there are of the server afterwards. */
  readonly images?: number;
  /** Its root disk is another one afterwards, or a copy of what it was, or there is none on the host; else it is the same. */
  readonly disk?: 'other' | 'none' | 'copy';
  /** Rescued, it has another one before its own. */
  readonly disks?: 2;
}

const act = (status: string, action: string, argument: unknown = null): Act => ({ status, action, argument });
const STOP = act('SHUTOFF', 'os-stop');
const RESIZE = act('VERIFY_RESIZE', 'resize', { flavorRef: '84' });
const LIVE = { host: null, block_migration: 'auto' };
const MIGRATE = { ...act('VERIFY_RESIZE', 'migrate'), as: 'admin' } as const;
const SHELVE = act('SHELVED_OFFLOADED', 'shelve');

/** An evacuation begins on a host that is dead, and these clouds die as a whole: it is tried in test/operations and test/many. */
export type Killed = Exclude<OperationKind, 'evacuate'>;
export const isKilled = (kind: OperationKind): kind is Killed => kind !== 'evacuate';

/** Settings of the clouds in which they are tried; those that are not named need none. */
export const SETTINGS: Partial<Record<OperationKind, Readonly<Record<string, number>>>> = {
  softDelete: { reclaim_seconds: 100_000 },
  restore: { reclaim_seconds: 100_000 },
  shelveOffload: { shelved_offload_seconds: -1 },
  migrate: { hosts: 2 },
  liveMigrate: { hosts: 2 },
  confirmResize: { hosts: 2 },
};

function stories(image: string): Readonly<Record<Exclude<Killed, 'create'>, Story>> {
  const backup = { name: 'backup', backup_type: 'daily', rotation: 1 };
  return {
    delete: { from: [], act: act('gone', 'DELETE'), disk: 'none' },
    forceDelete: { from: [], act: act('gone', 'forceDelete'), disk: 'none' },
    softDelete: { from: [], act: act('SOFT_DELETED', 'DELETE') },
    restore: { from: [act('SOFT_DELETED', 'DELETE')], act: act('ACTIVE', 'restore') },
    start: { from: [STOP], act: act('ACTIVE', 'os-start') },
    stop: { from: [], act: STOP },
    forceStop: { from: [], act: act('SHUTOFF', 'os-stop', { type: 'HARD' }) },
    reboot: { from: [], act: act('ACTIVE', 'reboot', { type: 'SOFT' }) },
    hardReboot: { from: [], act: act('ACTIVE', 'reboot', { type: 'HARD' }) },
    pause: { from: [], act: act('PAUSED', 'pause') },
    unpause: { from: [act('PAUSED', 'pause')], act: act('ACTIVE', 'unpause') },
    suspend: { from: [], act: act('SUSPENDED', 'suspend') },
    resume: { from: [act('SUSPENDED', 'suspend')], act: act('ACTIVE', 'resume') },
    rescue: { from: [], act: act('RESCUE', 'rescue'), disks: 2 },
    unrescue: { from: [act('RESCUE', 'rescue')], act: act('ACTIVE', 'unrescue') },
    rebuild: { from: [], act: act('ACTIVE', 'rebuild', { imageRef: image }), disk: 'other' },
    shelve: { from: [], act: SHELVE, disk: 'none', images: 1 },
    shelveOffload: {
      from: [act('SHELVED', 'shelve')],
      act: { ...act('SHELVED_OFFLOADED', 'shelveOffload'), as: 'admin' },
      disk: 'none',
      images: 1,
    },
    unshelve: { from: [SHELVE], act: act('ACTIVE', 'unshelve'), disk: 'other' },
    createImage: { from: [], act: act('ACTIVE', 'createImage', { name: 'snap' }), images: 1 },
    createBackup: {
      from: [act('ACTIVE', 'createBackup', backup)],
      act: act('ACTIVE', 'createBackup', backup),
      images: 1,
    },
    resize: { from: [], act: RESIZE, disk: 'copy' },
    liveMigrate: { from: [], act: { ...act('ACTIVE', 'os-migrateLive', LIVE), as: 'admin' } },
    migrate: { from: [], act: MIGRATE, disk: 'copy' },
    confirmResize: { from: [MIGRATE], act: act('ACTIVE', 'confirmResize'), disk: 'copy' },
    revertResize: { from: [RESIZE], act: act('ACTIVE', 'revertResize') },
    attachInterface: { from: [], act: act('ACTIVE', 'ATTACH') },
    detachInterface: { from: [act('ACTIVE', 'ATTACH')], act: act('ACTIVE', 'DETACH') },
    changePassword: { from: [], act: act('ACTIVE', 'changePassword', { adminPass: 'secret' }) },
  };
}

/** All of them, on a cloud that has one image. `isReady` waits until a guest is up as far as the request needs it, or what leads there. */
export function scenarios(
  image: string,
  isReady: (cloud: CloudToKill, kind: OperationKind, id: string) => Promise<void> = async () => undefined,
): Readonly<Record<Killed, Scenario>> {
  const told = Object.entries(stories(image)).map(([name, story]) => {
    const kind = name as OperationKind;
    return [kind, { kind, prepare: (cloud: CloudToKill) => prepare(cloud, kind, story, image, isReady) }] as const;
  });
  return { ...(Object.fromEntries(told) as Record<Killed, Scenario>), create: creating(image) };
}

async function prepare(
  cloud: CloudToKill,
  kind: OperationKind,
  story: Story,
  image: string,
  isReady: Parameters<typeof scenarios>[1] = async () => undefined,
): ReturnType<Scenario['prepare']> {
  const id = await launch(await cloud.demo(), image);
  await becomes(cloud, id, 'ACTIVE');
  await isReady(cloud, kind, id);
  const own = await disks(cloud, id);
  for (const step of story.from) {
    await send(await clientFor(cloud, step), id, step);
    await becomes(cloud, id, step.status);
  }
  await cloud.atRest();
  const before = { status: story.from.at(-1)?.status ?? 'ACTIVE', disks: await disks(cloud, id) };
  const images = (await imagesOf(cloud, id)).length;
  const admin = story.act.as === 'admin' ? await cloud.admin() : null;
  return {
    request: (client) => send(admin ?? client, id, story.act),
    async done() {
      assert.equal(await statusOf(cloud, id), story.act.status);
      const all = await imagesOf(cloud, id);
      assert.deepEqual(all, Array(story.images ?? 0).fill('active'));
      const now = await disks(cloud, id);
      if (story.disk === 'none') assert.deepEqual(now, []);
      else if (story.disk === 'other') {
        assert.equal(now.length, 1);
        assert.notDeepEqual(now, before.disks);
      } else if (story.disk === 'copy') {
        assert.deepEqual([...new Set(now)], cloud.driver === 'fake' ? [...new Set(before.disks)] : now);
      } else {
        assert.equal(now.length, Math.max(story.disks ?? 1, 1));
        for (const disk of own) assert.ok(now.includes(disk), 'its own disk is there');
      }
    },
    async never() {
      assert.equal(await statusOf(cloud, id), before.status);
      assert.equal((await imagesOf(cloud, id)).length, images);
      assert.deepEqual(await disks(cloud, id), before.disks);
    },
    cleanUp: () => terminate(cloud, id),
  };
}

function creating(image: string): Scenario {
  return {
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
  };
}

const server = (id: string) => `/compute/v2.1/servers/${id}`;

function clientFor(cloud: CloudToKill, { as }: Act): Promise<Client> {
  return as === 'admin' ? cloud.admin() : cloud.demo();
}

function send(client: Client, id: string, { action, argument = null }: Act): Promise<unknown> {
  if (action === 'ATTACH') return attach(client, id);
  if (action === 'DETACH') return detach(client, id);
  if (action === 'DELETE') return client.ok('DELETE', server(id));
  return client.ok('POST', `${server(id)}/action`, { json: { [action]: argument } });
}

const EXTRA = 'extra';

/** To a network beside its own. */
async function attach(client: Client, id: string): Promise<unknown> {
  const json = { interfaceAttachment: { net_id: await extraNetwork(client) } };
  return client.ok('POST', `${server(id)}/os-interface`, { json });
}

async function detach(client: Client, id: string): Promise<unknown> {
  const network = await extraNetwork(client);
  const { interfaceAttachments: ports } = await client.ok<{
    interfaceAttachments: { net_id: string; port_id: string }[];
  }>('GET', `${server(id)}/os-interface`);
  const port = ports.find(({ net_id }) => net_id === network);
  return client.ok('DELETE', `${server(id)}/os-interface/${port?.port_id}`);
}

async function extraNetwork(client: Client): Promise<string> {
  const networks = '/network/v2.0/networks';
  const known = await client.ok<{ networks: { id: string }[] }>('GET', `${networks}?name=${EXTRA}`);
  if (known.networks[0]) return known.networks[0].id;
  const { network } = await client.ok<{ network: { id: string } }>('POST', networks, {
    json: { network: { name: EXTRA } },
  });
  const subnet = { network_id: network.id, ip_version: 4, cidr: '10.77.0.0/24' };
  await client.ok('POST', '/network/v2.0/subnets', { json: { subnet } });
  return network.id;
}

async function launch(client: Client, imageRef: string): Promise<string> {
  const wanted = { name: 'victim', imageRef, flavorRef: '42', networks: [{ uuid: await privateNetwork(client) }] };
  const body = await client.ok<{ server: { id: string } }>('POST', '/compute/v2.1/servers', {
    json: { server: wanted },
  });
  return body.server.id;
}

async function statusOf(cloud: CloudToKill, id: string): Promise<string> {
  const answer = await (await cloud.demo()).request<{
    server: { status: string; fault?: unknown; 'OS-EXT-STS:task_state': string | null };
  }>('GET', server(id));
  if (answer.status === 404) return 'gone';
  const { status, fault, 'OS-EXT-STS:task_state': task } = answer.body.server;
  return `${status}${task === null ? '' : ` ${task}`}${fault ? ' with a fault' : ''}`;
}

export function becomes(cloud: CloudToKill, id: string, status: string): Promise<boolean> {
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

/** The server and the images that were made of it, gone. */
async function terminate(cloud: CloudToKill, id: string): Promise<void> {
  const demo = await cloud.demo();
  await demo.request('POST', `${server(id)}/action`, { json: { forceDelete: null } });
  await becomes(cloud, id, 'gone');
  await cloud.atRest();
  const { images } = await demo.ok<{ images: { id: string }[] }>('GET', `/image/v2/images?instance_uuid=${id}`);
  for (const image of images) await demo.ok('DELETE', `/image/v2/images/${image.id}`);
}

/** The states of the images that were made of it. */
async function imagesOf(cloud: CloudToKill, id: string): Promise<string[]> {
  const path = `/image/v2/images?instance_uuid=${id}`;
  const { images } = await (await cloud.demo()).ok<{ images: { status: string }[] }>('GET', path);
  return images.map(({ status }) => status);
}

/** The disks of a guest: with the fake driver what each has in it, which no two have in common; else their names. */
async function disks(cloud: CloudToKill, id: string): Promise<string[]> {
  const dir = join(cloud.data, 'instances', id);
  const names = (await readdir(dir).catch(() => [])).filter((name) => name.endsWith('.qcow2')).toSorted();
  if (cloud.driver === 'qemu') return names;
  return Promise.all(names.map((name) => readFile(join(dir, name), 'utf8')));
}

/** An image of the demo user: these bytes, or an empty disk. */
export async function registerImage(
  cloud: CloudToKill,
  bytes?: Uint8Array,
  properties: Readonly<Record<string, string>> = {},
): Promise<string> {
  const client = await cloud.demo();
  const wanted = { name: 'tiny', disk_format: 'qcow2', container_format: 'bare', ...properties };
  const { id } = await client.ok<{ id: string }>('POST', '/image/v2/images', { json: wanted });
  const dir = await mkdtemp(join(tmpdir(), 'micronova-disk-'));
  try {
    await client.ok('PUT', `/image/v2/images/${id}/file`, { bytes: bytes ?? (await emptyDisk(dir)) });
  } finally {
    await rm(dir, { recursive: true });
  }
  return id;
}
