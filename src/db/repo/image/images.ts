/**
 * Image records: one row each, plus rows for the owner's properties and tags.
 *
 * Status changes are compare-and-set, so that two uploads, or an upload and a delete, cannot both win.
 */
import type { Queries } from '#db/database.ts';
import type { ImageRow } from '#db/tables/image.ts';

export interface Image extends Readonly<ImageRow> {
  readonly tags: readonly string[];
  readonly properties: Readonly<Record<string, string>>;
}

/** The image with this id, or null. */
export async function findImage(queries: Queries, id: string): Promise<Image | null> {
  const row = await queries.selectFrom('images').selectAll().where('id', '=', id).executeTakeFirst();
  if (!row) return null;
  const [image] = await withDetails(queries, [row]);
  return image ?? null;
}

/** Adds tags and properties to rows, in two queries for all of them. */
export async function withDetails(queries: Queries, rows: readonly ImageRow[]): Promise<Image[]> {
  if (rows.length === 0) return [];
  const ids = rows.map((row) => row.id);
  const tags = await queries.selectFrom('image_tags').selectAll().where('image_id', 'in', ids).orderBy('tag').execute();
  const properties = await queries
    .selectFrom('image_properties')
    .selectAll()
    .where('image_id', 'in', ids)
    .orderBy('name')
    .execute();
  const tagsOf = Map.groupBy(tags, (tag) => tag.image_id);
  const propertiesOf = Map.groupBy(properties, (property) => property.image_id);
  return rows.map((row) => ({
    ...row,
    tags: (tagsOf.get(row.id) ?? []).map(({ tag }) => tag),
    properties: Object.fromEntries((propertiesOf.get(row.id) ?? []).map(({ name, value }) => [name, value])),
  }));
}

/** Throws the engine's unique violation when the id exists. Call inside a transaction. */
export async function insertImage(queries: Queries, image: Image): Promise<void> {
  const { tags, properties, ...row } = image;
  await queries.insertInto('images').values(row).execute();
  await insertTags(queries, image.id, tags);
  await insertProperties(queries, image.id, properties);
}

/** What an owner may change of the row itself. */
export type ImageChanges = Partial<
  Pick<
    ImageRow,
    | 'name'
    | 'visibility'
    | 'owner'
    | 'protected'
    | 'os_hidden'
    | 'disk_format'
    | 'container_format'
    | 'min_disk'
    | 'min_ram'
  >
>;

/** Writes `image` over the stored one except for its status and what belongs to its data. Call inside a transaction. */
export async function replaceImage(queries: Queries, image: Image): Promise<void> {
  const changes: ImageChanges & { updated_at: number } = {
    name: image.name,
    visibility: image.visibility,
    owner: image.owner,
    protected: image.protected,
    os_hidden: image.os_hidden,
    disk_format: image.disk_format,
    container_format: image.container_format,
    min_disk: image.min_disk,
    min_ram: image.min_ram,
    updated_at: image.updated_at,
  };
  await queries.updateTable('images').set(changes).where('id', '=', image.id).execute();
  await queries.deleteFrom('image_tags').where('image_id', '=', image.id).execute();
  await insertTags(queries, image.id, image.tags);
  await queries.deleteFrom('image_properties').where('image_id', '=', image.id).execute();
  await insertProperties(queries, image.id, image.properties);
}

/** What changes with the status. */
export type DataFields = Partial<
  Pick<ImageRow, 'size' | 'virtual_size' | 'checksum' | 'os_hash_value'> & { updated_at: number }
>;

/** False when the image is not in `from` (any more), or gone. */
export async function changeStatus(
  queries: Queries,
  id: string,
  from: ImageRow['status'],
  to: ImageRow['status'],
  fields: DataFields = {},
): Promise<boolean> {
  const result = await queries
    .updateTable('images')
    .set({ status: to, ...fields })
    .where('id', '=', id)
    .where('status', '=', from)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** False when it is protected or gone. */
export async function deleteImage(queries: Queries, id: string): Promise<boolean> {
  const result = await queries.deleteFrom('images').where('id', '=', id).where('protected', '=', 0).executeTakeFirst();
  return result.numDeletedRows > 0n;
}

/** Every image's id and status. */
export async function listStatuses(queries: Queries): Promise<Pick<ImageRow, 'id' | 'status'>[]> {
  return await queries.selectFrom('images').select(['id', 'status']).execute();
}

/** Has it already: nothing. */
export async function addTag(queries: Queries, id: string, tag: string): Promise<void> {
  await queries
    .insertInto('image_tags')
    .values({ image_id: id, tag })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/** False when it had no such tag. */
export async function removeTag(queries: Queries, id: string, tag: string): Promise<boolean> {
  const result = await queries
    .deleteFrom('image_tags')
    .where('image_id', '=', id)
    .where('tag', '=', tag)
    .executeTakeFirst();
  return result.numDeletedRows > 0n;
}

async function insertTags(queries: Queries, id: string, tags: readonly string[]): Promise<void> {
  if (tags.length === 0) return;
  await queries
    .insertInto('image_tags')
    .values(tags.map((tag) => ({ image_id: id, tag })))
    .execute();
}

async function insertProperties(
  queries: Queries,
  id: string,
  properties: Readonly<Record<string, string>>,
): Promise<void> {
  const rows = Object.entries(properties).map(([name, value]) => ({ image_id: id, name, value }));
  if (rows.length > 0) await queries.insertInto('image_properties').values(rows).execute();
}
