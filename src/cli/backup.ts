/**
 * `micronova backup`: a whole cloud into a folder, while it runs. Of every server’s disk a snapshot is made, which never stops it; then
 * the record is written as it is at one moment, and after it the bytes of every image, those snapshots among them. They are taken
 * away from the cloud again.
 */
import { createHash } from 'node:crypto';
import { copyFile, mkdir, open, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Database } from '#db/database.ts';
import { SCHEMA } from '#db/migrate.ts';
import { FILES, type Manifest } from '../backup/manifest.ts';
import { writeRecord } from '../backup/record-file.ts';
import { CommandError } from './command-error.ts';
import { OpenStack, Refused } from './openstack.ts';
import { type RecordOptions, withRecord } from './record.ts';

interface Server {
  readonly id: string;
  readonly name: string;
  readonly status: string;
}

interface Image {
  readonly id: string;
  /** SHA-512 in hex. */
  readonly sha512: string;
}

const IMAGES = '/image/v2/images';
const POLL_MS = 200;
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;
/** The disk of a server in one of these is an image already. */
const SHELVED = ['SHELVED', 'SHELVED_OFFLOADED'];

/** Throws `CommandError` where there is no cloud, or the folder is not empty; then, and when it is cut short, there is no manifest. */
export async function backup(dir: string, options: RecordOptions): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  if ((await readdir(dir)).length > 0)
    throw new CommandError(`${dir} is not empty; give this backup a folder of its own`);
  const cloud = await OpenStack.connect(options.data, 'micronova-admin');
  const disks: Manifest['disks'] = [];
  const without: string[] = [];
  // Its snapshots are taken away however it ends, except by SIGKILL.
  const stop = new AbortController();
  const interrupt = () => stop.abort(new CommandError('interrupted'));
  for (const signal of SIGNALS) process.once(signal, interrupt);
  try {
    const path = '/compute/v2.1/servers/detail?all_tenants=1';
    for (const server of await cloud.everyPage<Server>(path, 'servers', ({ id }) => id)) {
      stop.signal.throwIfAborted();
      if (SHELVED.includes(server.status)) continue;
      const begun = await snapshot(cloud, server);
      if (begun.image !== null) disks.push({ server: server.id, image: begun.image });
      const why = begun.image === null ? begun.why : await untilActive(cloud, begun.image, stop.signal);
      say(`${titleOf(server)}: ${why ?? 'its disk'}`);
      if (why !== null) without.push(`${titleOf(server)}: ${why}`);
    }
    const takenAt = new Date().toISOString();
    const images = await withRecord(options, (db) => dump(db, join(dir, FILES.record)));
    say('the record');
    await mkdir(join(dir, FILES.images), { mode: 0o700 });
    const kept: Manifest['images'] = [];
    for (const image of images) {
      const bytes = await download(cloud, image, join(dir, FILES.images, image.id), stop.signal);
      if (bytes !== null) kept.push({ ...image, bytes });
      say(`image ${image.id}: ${bytes === null ? 'deleted meanwhile' : `${bytes} bytes`}`);
    }
    await copyFile(join(options.data, FILES.credentials), join(dir, FILES.credentials));
    await writeManifest(dir, { format: 1, schema: SCHEMA, takenAt, disks, images: kept });
  } finally {
    for (const { image } of disks) await remove(cloud, image);
    for (const signal of SIGNALS) process.off(signal, interrupt);
  }
  say(`${dir} has the cloud as it was; 'micronova restore ${dir}' makes one of it`);
  for (const line of without) say(`without its disk: ${line}`);
}

/** Asks for an image of its disk; what cannot be copied says why. */
async function snapshot(
  cloud: OpenStack,
  { id, name, status }: Server,
): Promise<{ readonly image: string } | { readonly image: null; readonly why: string }> {
  try {
    const { body } = await cloud.request<{ image_id: string }>('POST', `/compute/v2.1/servers/${id}/action`, {
      json: { createImage: { name: `backup of ${name}`.slice(0, 255) } },
    });
    return { image: body.image_id };
  } catch (error) {
    if (error instanceof Refused && error.status === 409) return { image: null, why: `it is ${status}` };
    if (error instanceof Refused && error.status < 500) return { image: null, why: error.message };
    throw error;
  }
}

/** However long that takes: disks are large. Null when it is there, else why it is not. */
async function untilActive(cloud: OpenStack, image: string, signal: AbortSignal): Promise<string | null> {
  for (;;) {
    signal.throwIfAborted();
    const status = await statusOf(cloud, image);
    if (status === 'active') return null;
    if (status !== 'queued' && status !== 'saving') return 'its snapshot failed; its actions say why';
    await delay(POLL_MS);
  }
}

/** Null: there is none (any more). */
async function statusOf(cloud: OpenStack, image: string): Promise<string | null> {
  try {
    return (await cloud.request<{ status: string }>('GET', `${IMAGES}/${image}`)).body.status;
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return null;
    throw error;
  }
}

/** Writes the record as it is at one moment; answers the images that have bytes then. */
function dump(db: Database, path: string): Promise<readonly Image[]> {
  return db.read(async (trx) => {
    const images: Image[] = [];
    await writeRecord(trx, path, ({ table, row }) => {
      if (table === 'images' && typeof row.os_hash_value === 'string')
        images.push({ id: String(row.id), sha512: row.os_hash_value });
    });
    return images;
  });
}

/** Answers how many bytes it has; null for one that was deleted meanwhile. Throws when they are not those of the record. */
async function download(cloud: OpenStack, image: Image, path: string, signal: AbortSignal): Promise<number | null> {
  let bytes = 0;
  try {
    const from = await cloud.download(`${IMAGES}/${image.id}/file`);
    const hash = createHash('sha512');
    await using file = await open(path, 'wx', 0o600);
    for await (const piece of from) {
      signal.throwIfAborted();
      hash.update(piece);
      await file.writeFile(piece);
      bytes += piece.length;
    }
    await file.sync();
    if (hash.digest('hex') !== image.sha512) throw new CommandError(`image ${image.id} is not what its record says`);
    return bytes;
  } catch (error) {
    if (error instanceof Refused && (error.status === 404 || error.status === 403)) return null;
    throw error;
  }
}

async function remove(cloud: OpenStack, image: string): Promise<void> {
  await cloud.request('DELETE', `${IMAGES}/${image}`).catch((error: unknown) => {
    if (!(error instanceof Refused)) throw error;
    if (error.status !== 404) say(`image ${image} could not be removed: ${error.message}`);
  });
}

async function writeManifest(dir: string, manifest: Manifest): Promise<void> {
  const path = join(dir, FILES.manifest);
  {
    await using file = await open(`${path}.partial`, 'wx', 0o600);
    await file.writeFile(`${JSON.stringify(manifest, null, 2)}\n`);
    await file.sync();
  }
  await rename(`${path}.partial`, path);
}

function titleOf({ id, name }: Server): string {
  return `${name} (${id})`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
