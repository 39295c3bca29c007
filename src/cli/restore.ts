/**
 * `micronova restore`: a cloud out of a backup, on this machine or another, on the engine that the configuration names. Nothing of a cloud
 * may be there yet. Servers are off their hosts then: `openstack server unshelve` starts each from its disk.
 */
import { existsSync } from 'node:fs';
import { copyFile, mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { loadConfig } from '#config/config.ts';
import type { Database } from '#db/database.ts';
import { openDatabase } from '#db/open.ts';
import { lockFile } from '#db/sqlite.ts';
import type { ImageStore } from '#services/image/store/image-store.ts';
import { type Landed, landServers } from '../backup/landing.ts';
import { FILES, type Manifest, readManifest } from '../backup/manifest.ts';
import { readRecord } from '../backup/record-file.ts';
import { openImageStore } from '../roles/image-store.ts';
import { CommandError } from './command-error.ts';
import type { RecordOptions } from './record.ts';

/** Of an image that was deleted while the backup was taken nothing is kept. */
const OF_IMAGES: ReadonlySet<string> = new Set(['images', 'image_properties', 'image_tags', 'image_members']);
const PIECE_BYTES = 2 ** 20;

/** Throws `CommandError` where there is a cloud already. One that was cut short is run again, and goes on. */
export async function restore(dir: string, options: RecordOptions): Promise<void> {
  const manifest = await readManifest(dir);
  const config = loadConfig({
    flags: { data: options.data },
    env: process.env,
    ...(options.config !== undefined && { file: options.config }),
  });
  await mkdir(config.data, { recursive: true, mode: 0o700 });
  const lock = lockFile(join(config.data, 'lock.sqlite'));
  if (!lock) throw new CommandError(`a cloud runs in ${config.data}`);
  try {
    const place = { url: config.database, file: join(config.data, 'micronova.sqlite') };
    const db = await openDatabase(place, { waitMs: 0, schema: manifest.schema });
    let landed: Landed;
    try {
      await requireEmpty(db);
      await bringImages(dir, manifest, openImageStore(config));
      landed = await bringRecord(dir, manifest, db);
    } finally {
      await db.close();
    }
    await (await openDatabase(place, { waitMs: 0 })).close(); // to this version's schema
    const credentials = join(config.data, FILES.credentials);
    if (!existsSync(credentials)) await copyFile(join(dir, FILES.credentials), credentials);
    tell(landed, manifest);
  } finally {
    lock.release();
  }
}

async function requireEmpty(db: Database): Promise<void> {
  const row = await db.queries.selectFrom('users').select('id').limit(1).executeTakeFirst();
  if (row) throw new CommandError('there is a cloud in the record already; restore into an empty folder or database');
}

async function bringImages(dir: string, { images }: Manifest, store: ImageStore): Promise<void> {
  try {
    await store.keepOnly(null);
    for (const image of images) {
      await bringImage(join(dir, FILES.images, image.id), image, store);
      say(`image ${image.id}: ${image.bytes} bytes`);
    }
  } finally {
    await store.close();
  }
}

async function bringImage(path: string, { id, sha512 }: Manifest['images'][number], store: ImageStore): Promise<void> {
  const incoming = await store.openWrite(id);
  try {
    await using file = await open(path);
    for await (const piece of file.createReadStream({ highWaterMark: PIECE_BYTES, autoClose: false }))
      await incoming.append([piece as Buffer]);
    if ((await incoming.seal()).sha512 !== sha512)
      throw new CommandError(`${path} is damaged: its hash is another one`);
    await incoming.publish();
    await incoming.settle();
  } catch (error) {
    await incoming.discard();
    throw error;
  }
}

/** All of it or nothing. */
function bringRecord(dir: string, { disks, images }: Manifest, db: Database): Promise<Landed> {
  const bytes = new Set(images.map(({ id }) => id));
  const lost = new Set<unknown>();
  return db.transaction(async (trx) => {
    await readRecord(trx, join(dir, FILES.record), ({ table, row }) => {
      if (table === 'images' && row.os_hash_value !== null && !bytes.has(String(row.id))) lost.add(row.id);
      return !OF_IMAGES.has(table) || !lost.has(row.id ?? row.image_id);
    });
    return landServers(trx, new Map(disks.map(({ server, image }) => [server, image])), Date.now());
  });
}

function tell({ offHosts, lost }: Landed, { takenAt }: Manifest): void {
  say(`the cloud of ${takenAt} is here; start it as ever`);
  if (offHosts > 0) say(`${offHosts} servers are SHELVED_OFFLOADED: 'openstack server unshelve SERVER' starts each`);
  if (lost > 0) say(`${lost} servers have no disk in the backup, and are in ERROR`);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
