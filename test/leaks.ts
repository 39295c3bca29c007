/**
 * What must not be there once nothing is going on: rows without their things, things without their rows, work without an
 * end. The one place that says what a leak is; every test that ends an operation asks it.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Database } from '#db/database.ts';
import type { ServerRow } from '#db/tables/compute.ts';
import { eventually } from './eventually.ts';

/** One line for each leak in a cloud at rest; empty when there is none. */
export async function leaks(db: Database, data: string): Promise<string[]> {
  const servers = await db.queries.selectFrom('servers').selectAll().execute();
  const live = new Map(servers.filter((row) => row.deleted_at === null).map((row) => [row.id, row]));
  return [
    ...(await leakedWork(db, live)),
    ...(await leakedRoom(db, live)),
    ...(await leakedGuests(data, live)),
    ...(await leakedImages(db, data)),
  ];
}

/** Leaks, once the last messages are sent and the last files closed; what does not go away in time is one. */
export async function lastingLeaks(db: Database, data: string): Promise<string[]> {
  let found: string[] = [];
  const isClean = async () => {
    found = await leaks(db, data);
    return found.length === 0;
  };
  await eventually('no leaks', isClean, { withinMs: 3_000 }).catch(() => undefined);
  return found;
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
  const held = new Map(allocations.map((row) => [row.server_id, row.host]));
  return [
    ...allocations
      .filter((row) => live.get(row.server_id)?.host !== row.host)
      .map((row) => `server ${row.server_id} holds room on ${row.host} and is not there`),
    ...[...live.values()]
      .filter((row) => row.host !== null && held.get(row.id) !== row.host)
      .map((row) => `server ${row.id} is on ${row.host} and holds no room there`),
  ];
}

async function leakedGuests(data: string, live: ReadonlyMap<string, ServerRow>): Promise<string[]> {
  const homes = [data, ...(await namesIn(join(data, 'hosts'))).map((host) => join(data, 'hosts', host))];
  const found: string[] = [];
  const seen = new Set<string>();
  for (const home of homes) {
    for (const id of await namesIn(join(home, 'instances'))) {
      seen.add(id);
      if ((live.get(id)?.host ?? null) === null) found.push(`guest ${id} has files and no server that is on a host`);
    }
    for (const name of await namesIn(join(home, 'image-cache')))
      if (name.endsWith('.partial')) found.push(`image cache has ${name}`);
  }
  const lost = [...live.values()].filter((row) => row.host !== null && !seen.has(row.id));
  return [...found, ...lost.map((row) => `server ${row.id} is on ${row.host} and has no files`)];
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
  const staged = await namesIn(join(data, 'images', 'staging'));
  return [
    ...files.filter((name) => !withData.has(name)).map((name) => `image file ${name} has no active image`),
    ...[...withData].filter((id) => !files.includes(id)).map((id) => `image ${id} is active and has no file`),
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
