/** Everything that an operation may change of a server, as one comparable value: the record, the guest, its disks, its images. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { portsOfServers } from '#db/repo/network/server-ports.ts';
import type { VmState } from '#domain/instance/states.ts';
import { disksOf } from '#services/compute/driver/guest-files.ts';
import type { TestCloud } from '../cloud.ts';

export interface Photo {
  readonly vmState: VmState;
  readonly powerState: number;
  readonly host: string | null;
  /** The host on which it holds room. */
  readonly room: string | null;
  /** The host on which it holds what it held before it moved. */
  readonly oldRoom: string | null;
  /** Id. */
  readonly flavor: string;
  readonly name: string;
  readonly imageId: string;
  readonly metadata: string;
  /** MACs of the ports that it has by the record. */
  readonly ports: readonly string[];
  /** The status of the image that holds its disk, `gone` where it is not there any more. */
  readonly shelvedImage: string | null;
  readonly isShelved: boolean;
  readonly isSoftDeleted: boolean;
  readonly guest: string;
  /** What there is of it on other hosts: what it does there, and what makes each disk unique. */
  readonly elsewhere: readonly string[];
  /** Each disk that there is, those of its specification first and in their order: its name and what makes it unique. */
  readonly disks: readonly (readonly [name: string, content: string])[];
  /** Whether its driver could go back to another specification. */
  readonly isReplaced: boolean;
  /** Of the guest's cards, sorted. */
  readonly macs: readonly string[];
  /** Those made of it, by name and status. */
  readonly images: readonly string[];
}

/** Taken of a server on a cloud with the fake driver, deleted or not. */
export async function photoOf(cloud: TestCloud, id: string): Promise<Photo> {
  const { queries } = cloud.db;
  const row = await queries.selectFrom('servers').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
  const claims = await queries.selectFrom('allocations').selectAll().where('server_id', '=', id).execute();
  const roomFor = (what: 'server' | 'migration') => claims.find(({ held_for }) => held_for === what)?.host ?? null;
  const images = await queries.selectFrom('images').select(['id', 'name', 'status']).execute();
  const own = await queries
    .selectFrom('image_properties')
    .select('image_id')
    .where('name', '=', 'instance_uuid')
    .where('value', '=', id)
    .execute();
  const [host, driver] = [...cloud.drivers].find(([name]) => name === row.host) ?? [null, cloud.anyDriver];
  const spec = await driver.spec(id);
  const there = await driver.disks(id);
  const names = [...new Set([...(spec ? disksOf(spec).map(({ name }) => name) : []), ...Object.keys(there)])];
  return {
    vmState: row.vm_state,
    powerState: row.power_state,
    host: row.host,
    room: roomFor('server'),
    oldRoom: roomFor('migration'),
    flavor: (JSON.parse(row.flavor) as { id: string }).id,
    name: row.name,
    imageId: row.image_id,
    metadata: row.metadata,
    ports: await portsOf(cloud, id),
    shelvedImage: row.shelved_image_id && (images.find((image) => image.id === row.shelved_image_id)?.status ?? 'gone'),
    isShelved: row.shelved_at !== null,
    isSoftDeleted: row.soft_deleted_at !== null,
    guest: (await driver.inspect(id)).state,
    elsewhere: await elsewhere(cloud, id, host),
    disks: names.map((name) => [name, there[name] ?? 'missing']),
    isReplaced: await isReplaced(cloud, id),
    macs: spec?.nics.map(({ mac }) => mac).toSorted() ?? [],
    images: images
      .filter((image) => own.some(({ image_id }) => image_id === image.id))
      .map((image) => `${image.name} ${image.status}`)
      .toSorted(),
  };
}

async function portsOf(cloud: TestCloud, id: string): Promise<string[]> {
  const ports = (await portsOfServers(cloud.db.queries, [id])).get(id) ?? [];
  return ports.map(({ mac }) => mac).toSorted();
}

async function elsewhere(cloud: TestCloud, id: string, host: string | null): Promise<string[]> {
  // Of a server that is on no host the first one is what its photo shows.
  const shown = host ?? [...cloud.drivers.keys()][0];
  const others = [...cloud.drivers].filter(([name]) => name !== shown);
  const found = await Promise.all(
    others.map(async ([, driver]) => {
      const { state } = await driver.inspect(id);
      return state === 'absent' ? [] : [`${state} ${Object.values(await driver.disks(id)).toSorted()}`];
    }),
  );
  return found.flat();
}

async function isReplaced(cloud: TestCloud, id: string): Promise<boolean> {
  try {
    const state = JSON.parse(await readFile(join(cloud.data, 'instances', id, 'state.json'), 'utf8'));
    return (state as { before: unknown }).before !== null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
