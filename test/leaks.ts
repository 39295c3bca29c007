/**
 * What must not be there once nothing is going on: rows without their things, things without their rows, work without an
 * end. The one place that says what a leak is; every test that ends an operation asks it.
 */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Database } from '#db/database.ts';
import type { ServerRow } from '#db/tables/compute.ts';
import type { VmState } from '#domain/instance/states.ts';
import { diskFile, disksOf, parseSpec } from '#services/compute/driver/guest-files.ts';
import { eventually } from './eventually.ts';
import { leakedNetworks } from './plane-leaks.ts';

/** Where a server is on a host for certain; in ERROR and while it is built it may be or not. */
const ON_A_HOST: readonly VmState[] = ['active', 'stopped', 'paused', 'suspended', 'rescued', 'shelved', 'soft-delete'];
const SHELVED: readonly VmState[] = ['shelved', 'shelved_offloaded'];

/** One line for each leak in a cloud at rest; empty when there is none. */
export async function leaks(db: Database, data: string): Promise<string[]> {
  const servers = await db.queries.selectFrom('servers').selectAll().execute();
  const live = new Map(servers.filter((row) => row.deleted_at === null).map((row) => [row.id, row]));
  return [
    ...(await leakedWork(db, live)),
    ...(await leakedRoom(db, live)),
    ...(await leakedMoves(db)),
    ...(await leakedGuests(db, data, live)),
    ...(await leakedDisks(data, live)),
    ...(await leakedImages(db, data)),
    ...(await leakedShelves(db, live)),
    ...(await leakedPorts(db, live)),
    ...(await leakedNetworks(db, data)),
  ];
}

/** Leaks, once the last messages are sent and the last files closed; what does not go away in time is one. */
export async function lastingLeaks(db: Database, data: string): Promise<string[]> {
  let found: string[] = [];
  const isClean = async () => {
    found = await leaks(db, data);
    return found.length === 0;
  };
  await eventually('no leaks', isClean).catch(() => undefined);
  return found;
}

/** Folder of a test cloud's shared disks, below its data. */
export const SHARED_DISKS = 'shared-disks';

async function leakedPorts(db: Database, live: ReadonlyMap<string, ServerRow>): Promise<string[]> {
  const ports = await db.queries.selectFrom('ports').selectAll().where('device_owner', 'like', 'compute:%').execute();
  return ports
    .filter(({ device_id }) => !live.has(device_id))
    .map((row) => `port ${row.id} is one of server ${row.device_id}, which is not there`);
}

async function leakedWork(db: Database, live: ReadonlyMap<string, ServerRow>): Promise<string[]> {
  const operations = await db.queries.selectFrom('operations').selectAll().execute();
  const open = operations.filter((row) => row.finished_at === null);
  const isOpen = new Set(open.map(({ id }) => id));
  const messages = await db.queries.selectFrom('outbox').selectAll().execute();
  return [
    ...open.map((row) => `operation ${row.kind} ${row.id} is ${row.state}`),
    ...operations.filter((row) => row.lease_owner !== null).map((row) => `operation ${row.id} is leased`),
    ...operations
      .filter((row) => row.finished_at !== null && row.secrets !== null)
      .map((row) => `operation ${row.id} has ended and kept its secrets`),
    ...messages.map((row) => `message ${row.id} was not sent`),
    ...[...live.values()].flatMap((row) => [
      ...(row.operation_id !== null && !isOpen.has(row.operation_id)
        ? [`server ${row.id} belongs to operation ${row.operation_id}, which is not open`]
        : []),
      ...(row.task_state !== null && row.operation_id === null
        ? [`server ${row.id} is ${row.task_state} and nothing works on it`]
        : []),
      ...(row.vm_state === 'building' && row.operation_id === null ? [`server ${row.id} is building for ever`] : []),
    ]),
  ];
}

async function leakedRoom(db: Database, live: ReadonlyMap<string, ServerRow>): Promise<string[]> {
  const allocations = await db.queries.selectFrom('allocations').selectAll().execute();
  const held = new Map(allocations.filter((row) => row.held_for === 'server').map((row) => [row.server_id, row.host]));
  return [
    ...allocations
      .filter((row) => row.held_for === 'migration' && live.get(row.server_id)?.vm_state !== 'resized')
      .map((row) => `server ${row.server_id} holds room on ${row.host}, which it has left`),
    ...allocations
      .filter((row) => row.held_for === 'server' && live.get(row.server_id)?.host !== row.host)
      .map((row) => `server ${row.server_id} holds room on ${row.host} and is not there`),
    ...[...live.values()]
      .filter((row) => row.host !== null && held.get(row.id) !== row.host)
      .map((row) => `server ${row.id} is on ${row.host} and holds no room there`),
    ...[...live.values()]
      .filter(({ host, vm_state }) => host === null && ON_A_HOST.includes(vm_state))
      .map((row) => `server ${row.id} is ${row.vm_state} and on no host`),
    ...[...live.values()]
      .filter(({ host, vm_state }) => host !== null && vm_state === 'shelved_offloaded')
      .map((row) => `server ${row.id} is ${row.vm_state} and on ${row.host}`),
  ];
}

/** Moves that are said to go on, and nothing works on them. */
async function leakedMoves(db: Database): Promise<string[]> {
  const rows = await db.queries
    .selectFrom('server_migrations')
    .leftJoin('operations', 'operations.id', 'server_migrations.operation_id')
    .leftJoin('servers', 'servers.id', 'server_migrations.server_id')
    .select(['server_migrations.id', 'server_migrations.status', 'operations.finished_at', 'servers.vm_state'])
    .execute();
  const ended = ['confirmed', 'reverted', 'completed', 'done', 'cancelled', 'error'];
  return [
    ...rows
      .filter(({ status, finished_at }) => finished_at !== null && ![...ended, 'finished'].includes(status))
      .map(({ id, status }) => `move ${id} is ${status}, and its operation is over`),
    ...rows
      .filter(
        ({ status, vm_state, finished_at }) => finished_at !== null && status === 'finished' && vm_state !== 'resized',
      )
      .map(({ id, vm_state }) => `move ${id} waits for a decision, and its server is ${vm_state}`),
  ];
}

async function leakedGuests(db: Database, data: string, live: ReadonlyMap<string, ServerRow>): Promise<string[]> {
  const hosts = await namesIn(join(data, 'hosts'));
  // What lies below the data folder itself are links, where there are several hosts.
  // A host that is declared dead removes what it has when it comes back.
  const down = await db.queries.selectFrom('hosts').select('name').where('forced_down', '=', 1).execute();
  const homes =
    hosts.length === 0
      ? [{ home: data, host: null }]
      : hosts.map((host) => ({ home: join(data, 'hosts', host), host }));
  const found: string[] = [];
  const seen = new Set<string>();
  for (const { home, host } of homes) {
    for (const id of await namesIn(join(home, 'instances'))) {
      seen.add(id);
      const row = live.get(id);
      const isLeftBehind = row?.vm_state === 'resized' && row.host !== host;
      if (!row || row.host === null) found.push(`guest ${id} has files and no server that is on a host`);
      else if (down.some(({ name }) => name === host)) continue;
      else if (host !== null && row.host !== host && !isLeftBehind)
        found.push(`guest ${id} has files on ${host}, and its server is on ${row.host}`);
      else if (!isLeftBehind) found.push(...(await leakedFiles(join(home, 'instances', id), row)));
    }
    for (const name of await namesIn(join(home, 'image-cache')))
      if (name.endsWith('.partial')) found.push(`image cache has ${name}`);
  }
  const lost = [...live.values()].filter((row) => row.host !== null && !seen.has(row.id));
  return [...found, ...lost.map((row) => `server ${row.id} is on ${row.host} and has no files`)];
}

/** Disks that hosts share: one folder for each server that has them, held by the host that it is on, with what it needs. */
async function leakedDisks(data: string, live: ReadonlyMap<string, ServerRow>): Promise<string[]> {
  const found: string[] = [];
  for (const id of await namesIn(join(data, SHARED_DISKS))) {
    if (id === '.bases') continue;
    const row = live.get(id);
    const note = await textOf(join(data, SHARED_DISKS, id, 'holder.json'));
    if (!row || row.host === null) found.push(`server ${id} has shared disks and is on no host`);
    else if (note === null) found.push(`nobody holds the disks of server ${id}`);
    else {
      const { host, disks } = JSON.parse(note) as { host: string; disks: { name: string }[] };
      if (host !== row.host) found.push(`server ${id} is on ${row.host}, and ${host} holds its disks`);
      const there = (await namesIn(join(data, SHARED_DISKS, id))).filter((name) => name.endsWith('.qcow2'));
      for (const { name } of disks)
        if (!there.includes(diskFile(name))) found.push(`disk ${name} of server ${id} is noted and not there`);
    }
  }
  return found;
}

/** What an operation puts aside in a guest's folder: gone when it is over, except where a rescue or a suspension needs it. */
async function leakedFiles(dir: string, { id, vm_state }: ServerRow): Promise<string[]> {
  // What a failure left in ERROR is what its owner can still save.
  if (vm_state === 'error') return [];
  const spec = await textOf(join(dir, 'spec.json'));
  if (spec === null) return [`server ${id} is ${vm_state} and its guest has no specification`];
  const before = await specificationBefore(dir);
  const wanted = (before === null ? [spec] : [spec, before]).flatMap((text) =>
    disksOf(parseSpec(text)).map(({ name }) => diskFile(name)),
  );
  const disks = (await namesIn(dir)).filter((name) => name.endsWith('.qcow2') && !wanted.includes(name));
  const memory = (await namesIn(join(dir, 'own'))).filter((name) => /^memory\.(zst|json|partial)$/.test(name));
  return [
    ...disks.map((name) => `guest ${id} keeps ${name}, which nobody needs`),
    ...(before !== null && vm_state !== 'rescued' && vm_state !== 'resized'
      ? [`guest ${id} is ${vm_state} and keeps another specification`]
      : []),
    ...(before === null && vm_state === 'rescued' ? [`guest ${id} is rescued and cannot go back`] : []),
    ...(vm_state === 'suspended' ? [] : memory.map((name) => `guest ${id} is ${vm_state} and keeps ${name}`)),
  ];
}

/** What the guest's driver could go back to, as text: QEMU's has it in a file, the fake one in its state. */
async function specificationBefore(dir: string): Promise<string | null> {
  const own = await textOf(join(dir, 'own', 'spec.before.json'));
  const state = await textOf(join(dir, 'state.json'));
  const before = state === null ? null : (JSON.parse(state) as { before: unknown }).before;
  return own ?? (before ? JSON.stringify(before) : null);
}

/** The image of a shelved server is there as long as the server is shelved, and no longer. */
async function leakedShelves(db: Database, live: ReadonlyMap<string, ServerRow>): Promise<string[]> {
  const images = await db.queries.selectFrom('images').select(['id', 'status', 'protected']).execute();
  const shelvings = await db.queries
    .selectFrom('operations')
    .select(['input', 'server_id'])
    .where('kind', '=', 'shelve')
    .where('finished_at', 'is not', null)
    .execute();
  const made = new Map(
    shelvings.map(({ input, server_id }) => [(JSON.parse(input) as { imageId: string }).imageId, server_id]),
  );
  const needed = new Set([...live.values()].map(({ shelved_image_id }) => shelved_image_id));
  // Its owner may have said that it must stay.
  const left = images.filter((image) => made.has(image.id) && image.status === 'active' && image.protected === 0);
  const found = [...live.values()].flatMap(({ id, vm_state, shelved_image_id }) => {
    if (vm_state === 'error') return [];
    const status = images.find((image) => image.id === shelved_image_id)?.status;
    if (vm_state === 'shelved_offloaded' && status !== 'active')
      return [`server ${id} is ${vm_state} and its image ${shelved_image_id} is ${status}`];
    if (!SHELVED.includes(vm_state) && shelved_image_id !== null)
      return [`server ${id} is ${vm_state} and remembers the image ${shelved_image_id}`];
    return [];
  });
  return [
    ...found,
    ...left
      .filter(({ id }) => !needed.has(id))
      .map(({ id }) => `image ${id} was to hold ${made.get(id)}, which is not shelved`),
  ];
}

async function textOf(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

async function leakedImages(db: Database, data: string): Promise<string[]> {
  const images = await db.queries.selectFrom('images').selectAll().execute();
  const withData = new Set(images.filter(({ status }) => status === 'active').map(({ id }) => id));
  const snapshots = await db.queries
    .selectFrom('image_properties')
    .select('image_id')
    .where('name', '=', 'image_type')
    .where('value', '=', 'snapshot')
    .execute();
  const files = (await namesIn(join(data, 'images'))).filter((name) => name !== 'staging');
  // Where images are not in a folder, the test of that store looks.
  const isFolder = existsSync(join(data, 'images'));
  const staged = await namesIn(join(data, 'images', 'staging'));
  return [
    ...files.filter((name) => !withData.has(name)).map((name) => `image file ${name} has no active image`),
    ...[...withData]
      .filter((id) => isFolder && !files.includes(id))
      .map((id) => `image ${id} is active and has no file`),
    ...staged.map((name) => `staging has ${name}`),
    ...images.filter(({ status }) => status === 'saving').map(({ id }) => `image ${id} is saving for ever`),
    ...images
      .filter(({ id, status }) => status !== 'active' && snapshots.some(({ image_id }) => image_id === id))
      .map(({ id, status }) => `snapshot ${id} is ${status}`),
  ];
}

async function namesIn(dir: string): Promise<string[]> {
  try {
    return await readdir(dir);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
