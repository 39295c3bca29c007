/**
 * Lists of the network service: any filter, any order, and pages that neither skip nor repeat.
 *
 * A list is made of a base (a select with all columns that can be asked for) and of what can be known of each column. A page
 * continues behind its marker by comparing the sort keys with the marker's own; every order ends with the id. Columns that can
 * be null are compared as a value below all others, alike on every engine.
 */
import { type RawBuilder, sql } from 'kysely';
import type { Queries } from '#db/database.ts';

export type Value = string | number | null;

export interface Column {
  readonly type: 'text' | 'number';
  readonly nullable?: true;
}

export type Columns = Readonly<Record<string, Column>>;

/** Any of the values. */
export interface ColumnFilter {
  readonly column: string;
  readonly values: readonly Value[];
}

export interface SortOrder {
  readonly column: string;
  readonly direction: 'asc' | 'desc';
}

/** Each list only says something when it is not empty. */
export interface TagFilter {
  readonly all: readonly string[];
  readonly any: readonly string[];
  readonly notAll: readonly string[];
  readonly notAny: readonly string[];
}

export interface ListQuery {
  readonly filters: readonly ColumnFilter[];
  readonly tags: TagFilter;
  readonly sort: readonly SortOrder[];
  readonly limit: number;
  /** Id of the last of the page before; of the first of the page behind when `isReverse`. */
  readonly marker: string | null;
  readonly isReverse: boolean;
}

export interface List {
  /** Without `where`. */
  readonly base: RawBuilder<unknown>;
  /** All that `r` can be filtered and sorted by. */
  readonly columns: Columns;
  /**
   * What may be seen, over `r`: any of these, of which no row has two. Each is looked for by itself, since no index is for one or
   * the other. Empty: everything.
   */
  readonly seen: readonly RawBuilder<unknown>[];
  /** What no column says, over `r`. */
  readonly where: readonly RawBuilder<unknown>[];
}

/** A condition that no row has. */
export const NOTHING: RawBuilder<unknown> = sql`1 = 0`;
/** One that all have. */
const ALL: RawBuilder<unknown> = sql`1 = 1`;

/** The page, in the order that was asked for. Null where there is no such marker. */
export async function listRows<Row>(db: Queries, list: List, query: ListQuery): Promise<Row[] | null> {
  const order = withId(query.sort).map(({ column, direction }) => ({
    key: comparable(list.columns, column),
    isUp: (direction === 'asc') !== query.isReverse,
  }));
  const conditions = [...list.where, ...query.filters.map(filterCondition), ...tagConditions(query.tags)];
  const seen = list.seen.length === 0 ? [ALL] : list.seen;
  if (query.marker !== null) {
    const keys = order.map(({ key }, index) => sql`${key} as ${sql.ref(`k${index}`)}`);
    const asked = sql<Record<string, Value>>`select ${sql.join(keys)} from (${list.base}) as r
      where ${all([any(seen), ...list.where, sql`r.id = ${query.marker}`])}`;
    const [marker] = (await asked.execute(db)).rows;
    if (!marker) return null;
    conditions.push(
      behind(
        order,
        order.map((_, index) => marker[`k${index}`] ?? null),
      ),
    );
  }
  const by = sql.join(order.map(({ key, isUp }) => (isUp ? sql`${key} asc` : sql`${key} desc`)));
  const parts = seen.map(
    (each) => sql`select * from (select * from (${list.base}) as r where ${all([each, ...conditions])}
      order by ${by} limit ${query.limit}) as part`,
  );
  const [only = ALL, ...more] = parts;
  const whole = sql<Row>`select * from (${sql.join(parts, sql` union all `)}) as r order by ${by} limit ${query.limit}`;
  const { rows } = await (more.length === 0 ? sql<Row>`${only}` : whole).execute(db);
  return query.isReverse ? rows.toReversed() : rows;
}

interface Key {
  readonly key: RawBuilder<unknown>;
  readonly isUp: boolean;
}

/** (a > A) or (a = A and b > B) or …, with the sign of each key's direction. */
function behind(order: readonly Key[], values: readonly Value[]): RawBuilder<unknown> {
  const branches = order.map(({ key, isUp }, index) =>
    all([
      ...order.slice(0, index).map((earlier, at) => sql`${earlier.key} = ${values[at]}`),
      isUp ? sql`${key} > ${values[index]}` : sql`${key} < ${values[index]}`,
    ]),
  );
  return any(branches);
}

function withId(sort: readonly SortOrder[]): readonly SortOrder[] {
  const upToId = sort.findIndex(({ column }) => column === 'id');
  if (upToId >= 0) return sort.slice(0, upToId + 1);
  return [...sort, { column: 'id', direction: sort.at(-1)?.direction ?? 'asc' }];
}

function comparable(columns: Columns, name: string): RawBuilder<unknown> {
  const column = columns[name];
  if (!column) throw new TypeError(`no list has a column '${name}'`);
  const ref = sql.ref(`r.${name}`);
  if (!column.nullable) return ref;
  return column.type === 'text' ? sql`coalesce(${ref}, '')` : sql`coalesce(${ref}, -1)`;
}

function filterCondition({ column, values }: ColumnFilter): RawBuilder<unknown> {
  const ref = sql.ref(`r.${column}`);
  const given = values.filter((value) => value !== null);
  const either = [
    ...(given.length > 0 ? [sql`${ref} in (${sql.join(given)})`] : []),
    ...(given.length < values.length ? [sql`${ref} is null`] : []),
  ];
  return either.length === 0 ? NOTHING : any(either);
}

function tagConditions({ all: every, any, notAll, notAny }: TagFilter): RawBuilder<unknown>[] {
  const has = (tags: readonly string[]) => sql`exists (select 1 from network_tags
    where network_tags.resource_id = r.id and network_tags.tag in (${sql.join(tags)}))`;
  const hasAll = (tags: readonly string[]) => all(tags.map((tag) => has([tag])));
  return [
    ...(every.length > 0 ? [hasAll(every)] : []),
    ...(any.length > 0 ? [has(any)] : []),
    ...(notAll.length > 0 ? [sql`not (${hasAll(notAll)})`] : []),
    ...(notAny.length > 0 ? [sql`not ${has(notAny)}`] : []),
  ];
}

function all(conditions: readonly RawBuilder<unknown>[]): RawBuilder<unknown> {
  return conditions.length === 0 ? ALL : sql`(${sql.join(conditions, sql` and `)})`;
}

function any(conditions: readonly RawBuilder<unknown>[]): RawBuilder<unknown> {
  return sql`(${sql.join(conditions, sql` or `)})`;
}
