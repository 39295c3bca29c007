/**
 * The list of images as one project may see it: filters, any order, and pages that neither skip nor repeat.
 *
 * A page continues behind its marker by comparing the sort keys with the marker's own (never by counting rows), and
 * every order ends with the id, so that ties have a place. Keys that can be null are compared as a value below all
 * others, alike on every engine.
 */
import { type ExpressionBuilder, type ExpressionWrapper, type SqlBool, sql } from 'kysely';
import type { Queries, Schema } from '#db/database.ts';
import type { ImageMemberRow, ImageRow } from '#db/tables/image.ts';
import { type Image, withDetails } from './images.ts';

type Columns = ExpressionBuilder<Schema, 'images'>;
type Condition = ExpressionWrapper<Schema, 'images', SqlBool>;

export type SortKey =
  | 'name'
  | 'status'
  | 'container_format'
  | 'disk_format'
  | 'size'
  | 'id'
  | 'created_at'
  | 'updated_at'
  | 'min_disk'
  | 'min_ram'
  | 'owner'
  | 'visibility'
  | 'protected';

export interface SortOrder {
  readonly key: SortKey;
  readonly direction: 'asc' | 'desc';
}

/** One condition on a column. */
export interface ColumnFilter {
  readonly column: Exclude<keyof ImageRow, 'visibility'>;
  readonly operator: '=' | '!=' | '<' | '<=' | '>' | '>=' | 'in';
  readonly value: string | number | readonly string[];
}

export interface ImageQuery {
  readonly projectId: string;
  /** Sees every project's images. */
  readonly seesAll: boolean;
  /** `default`: what is public, own or shared and accepted, but nobody else's community images. */
  readonly visibility: ImageRow['visibility'] | 'all' | 'default';
  /** Shared images of others count when the viewer's membership has this status. */
  readonly memberStatus: ImageMemberRow['status'] | 'all';
  readonly filters: readonly ColumnFilter[];
  readonly properties: Readonly<Record<string, string>>;
  /** All of them. */
  readonly tags: readonly string[];
  readonly sort: readonly SortOrder[];
  readonly after: Image | null;
  readonly limit: number;
}

/** At most `limit` images in the asked order. */
export async function listImages(queries: Queries, asked: ImageQuery): Promise<Image[]> {
  if (asked.limit === 0) return [];
  const order = withId(asked.sort);
  let query = queries
    .selectFrom('images')
    .selectAll()
    .where((columns) => visible(columns, asked))
    .where((columns) => columns.and(asked.filters.map((filter) => matches(columns, filter))))
    .where((columns) => columns.and(detailConditions(columns, asked)));
  const { after } = asked;
  if (after) query = query.where((columns) => behind(columns, order, after));
  for (const { key, direction } of order) query = query.orderBy((columns) => comparable(columns, key), direction);
  return await withDetails(queries, await query.limit(asked.limit).execute());
}

function visible(columns: Columns, asked: ImageQuery): Condition {
  const is = (visibility: ImageRow['visibility']) => columns('visibility', '=', visibility);
  const own = columns('owner', '=', asked.projectId);
  const shared = columns.and([is('shared'), columns.exists(membership(asked))]);
  const allowed = asked.seesAll
    ? columns.val(1).$castTo<SqlBool>()
    : columns.or([is('public'), is('community'), own, shared]);
  if (asked.visibility === 'all') return asked.seesAll ? columns.and([]) : columns.and([allowed]);
  const wanted =
    asked.visibility === 'default' ? columns.or([own, columns('visibility', '!=', 'community')]) : is(asked.visibility);
  return asked.seesAll ? wanted : columns.and([allowed, wanted]);
}

function membership(asked: ImageQuery) {
  const status = asked.memberStatus === 'all' ? sql`` : sql`and image_members.status = ${asked.memberStatus}`;
  return sql<unknown>`(select 1 from image_members where image_members.image_id = images.id
    and image_members.member_id = ${asked.projectId} ${status})`;
}

function matches(columns: Columns, filter: ColumnFilter): Condition {
  return columns(filter.column, filter.operator, filter.value as never);
}

function detailConditions(columns: Columns, asked: ImageQuery): Condition[] {
  const properties = Object.entries(asked.properties).map(([name, value]) =>
    columns.exists(
      columns
        .selectFrom('image_properties')
        .select('name')
        .whereRef('image_properties.image_id', '=', 'images.id')
        .where('image_properties.name', '=', name)
        .where('image_properties.value', '=', value),
    ),
  );
  const tags = asked.tags.map((tag) =>
    columns.exists(
      columns
        .selectFrom('image_tags')
        .select('tag')
        .whereRef('image_tags.image_id', '=', 'images.id')
        .where('image_tags.tag', '=', tag),
    ),
  );
  return [...properties, ...tags];
}

function withId(sort: readonly SortOrder[]): readonly SortOrder[] {
  const upToId = sort.findIndex(({ key }) => key === 'id');
  if (upToId >= 0) return sort.slice(0, upToId + 1);
  return [...sort, { key: 'id', direction: sort.at(-1)?.direction ?? 'desc' }];
}

/** (a > A) or (a = A and b > B) or …, with the sign of each key's direction. */
function behind(columns: Columns, order: readonly SortOrder[], marker: Image): Condition {
  const branches = order.map(({ key, direction }, index) =>
    columns.and([
      ...order
        .slice(0, index)
        .map((earlier) => columns(comparable(columns, earlier.key), '=', keyOf(marker, earlier.key))),
      columns(comparable(columns, key), direction === 'asc' ? '>' : '<', keyOf(marker, key)),
    ]),
  );
  return columns.or(branches);
}

const NULLABLE_TEXTS: readonly SortKey[] = ['name', 'container_format', 'disk_format'];

function comparable(columns: Columns, key: SortKey) {
  if (NULLABLE_TEXTS.includes(key)) return columns.fn.coalesce(columns.ref(key), columns.val(''));
  if (key === 'size') return columns.fn.coalesce(columns.ref(key), columns.val(-1));
  return columns.ref(key);
}

function keyOf(image: Image, key: SortKey): string | number {
  return image[key] ?? (key === 'size' ? -1 : '');
}
