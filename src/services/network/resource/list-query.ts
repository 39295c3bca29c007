/**
 * The query of a list: filters by any field, repeated keys as OR, `sort_key`, `sort_dir`, `fields`, `limit`, `marker`,
 * `page_reverse`, tags. What is no field is refused: a filter that is ignored would list what nobody asked for.
 */
import { Type } from 'typebox';
import type { ColumnFilter, ListQuery, SortOrder, TagFilter, Value } from '#db/repo/network/list-rows.ts';
import { CloudError } from '#domain/errors.ts';
import { textToHex } from '#domain/network/address.ts';
import { formatCidr, parseCidr } from '#domain/network/cidr.ts';
import { parseMac } from '#domain/network/mac.ts';
import { flagText } from './schemas.ts';

/** How a field's text is the record's value. */
export interface Field {
  readonly column: string;
  readonly as: 'text' | 'flag' | 'number' | 'address' | 'cidr' | 'mac' | 'time';
  readonly nullable?: true;
}

/** By the name that the API has for it. */
export type Fields = Readonly<Record<string, Field>>;

export const STANDARD_FIELDS: Fields = {
  id: { column: 'id', as: 'text' },
  project_id: { column: 'project_id', as: 'text' },
  tenant_id: { column: 'project_id', as: 'text' },
  description: { column: 'description', as: 'text' },
  revision_number: { column: 'revision', as: 'number' },
  created_at: { column: 'created_at', as: 'time' },
  updated_at: { column: 'updated_at', as: 'time' },
};

export type RawQuery = Readonly<Record<string, string | string[] | undefined>>;

const text = (description: string) =>
  Type.Optional(Type.Unsafe<string | string[]>({ type: ['string', 'array'], items: { type: 'string' }, description }));

export const LIST_QUERY = Type.Object(
  {
    limit: text('Page size, at most 1000'),
    marker: text('Id of the last one of the page before'),
    page_reverse: text('true: the page before the marker'),
    sort_key: text('May be repeated'),
    sort_dir: text('`asc` or `desc`, for each sort_key'),
    fields: text('May be repeated: only these keys are answered'),
    tags: text('Comma separated: has all of them'),
    'tags-any': text('Comma separated: has one of them'),
    'not-tags': text('Comma separated: has not all of them'),
    'not-tags-any': text('Comma separated: has none of them'),
  },
  {
    additionalProperties: true,
    description: 'Any other name filters by the field of that name; repeated: any of them.',
  },
);

export const MAX_LIMIT = 1000;
/** More values than that for one filter, or more filters, nobody needs. */
const MAX_VALUES = 1000;

export const valuesOf = (value: string | string[] | undefined): string[] =>
  value === undefined ? [] : typeof value === 'string' ? [value] : value;

const last = (query: RawQuery, key: string): string | undefined => valuesOf(query[key]).at(-1);

/** `special`: filters that the resource reads by itself. Throws 400 for what cannot be understood. */
export function parseListQuery(query: RawQuery, fields: Fields, special: readonly string[]): ListQuery {
  const filters: ColumnFilter[] = [];
  for (const [name, raw] of Object.entries(query)) {
    const values = valuesOf(raw);
    if (values.length > MAX_VALUES) bad(`Too many values for ${name}`);
    if (Object.hasOwn(LIST_QUERY.properties, name) || special.includes(name)) continue;
    const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (!field) bad(`['${name.slice(0, 100)}'] is invalid attribute for filtering`);
    filters.push({ column: field.column, values: values.flatMap((value) => recordValue(field, name, value)) });
  }
  return {
    filters,
    tags: tagsOf(query),
    sort: sortOf(query, fields),
    limit: limitOf(query),
    marker: last(query, 'marker') ?? null,
    isReverse: flagText(last(query, 'page_reverse') ?? '') === 1,
  };
}

/** Whether the client asked for pages. */
export function isPaged(query: RawQuery): boolean {
  return Number(last(query, 'limit') ?? 0) > 0;
}

/** Nothing for text that no value is written as. */
function recordValue({ as, nullable }: Field, name: string, text: string): Value[] {
  if (nullable && text === '') return [null];
  const value = read(as, name, text);
  return value === null ? [] : [value];
}

function read(as: Field['as'], name: string, text: string): Value {
  switch (as) {
    case 'text':
      return text;
    case 'flag': {
      const value = flagText(text);
      if (value === null)
        bad(`Invalid input for ${name}. Reason: '${text.slice(0, 100)}' cannot be converted to boolean.`);
      return value;
    }
    case 'number':
      return /^-?[0-9]{1,9}$/.test(text) ? Number(text) : null;
    case 'address':
      return textToHex(text);
    case 'cidr': {
      const cidr = parseCidr(text);
      return cidr && formatCidr(cidr);
    }
    case 'mac':
      return parseMac(text);
    case 'time': {
      const time = Date.parse(text);
      return Number.isNaN(time) ? null : time;
    }
  }
}

function tagsOf(query: RawQuery): TagFilter {
  const of = (key: string) => valuesOf(query[key]).flatMap((value) => value.split(',').filter((tag) => tag !== ''));
  const tags = { all: of('tags'), any: of('tags-any'), notAll: of('not-tags'), notAny: of('not-tags-any') };
  if (Object.values(tags).some((each) => each.length > 50)) bad('Too many tags to filter by');
  return tags;
}

function sortOf(query: RawQuery, fields: Fields): SortOrder[] {
  const keys = valuesOf(query.sort_key);
  const directions = valuesOf(query.sort_dir);
  if (directions.length > 0 && directions.length !== keys.length)
    bad('The number of sort_keys and sort_dirs must be same');
  if (keys.length > 10) bad('Too many sort_keys');
  if (keys.length === 0) return [{ column: 'created_at', direction: 'asc' }];
  return keys.map((key, index) => {
    const field = Object.hasOwn(fields, key) ? fields[key] : undefined;
    if (!field) bad(`${key.slice(0, 100)} is invalid attribute for sort_keys`);
    const direction = directions[index] ?? 'asc';
    if (direction !== 'asc' && direction !== 'desc')
      bad(`${direction.slice(0, 100)} is invalid value for sort_dirs, valid value is 'asc' and 'desc'`);
    return { column: field.column, direction };
  });
}

function limitOf(query: RawQuery): number {
  const text = last(query, 'limit');
  if (text === undefined) return MAX_LIMIT;
  if (!/^[0-9]{1,9}$/.test(text))
    bad(`Invalid input for limit. Reason: '${text.slice(0, 100)}' is not a non-negative integer.`);
  return Number(text) === 0 ? MAX_LIMIT : Math.min(Number(text), MAX_LIMIT);
}

function bad(reason: string): never {
  throw new CloudError('badRequest', { reason });
}
