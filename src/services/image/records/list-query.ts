/** The query string of GET /v2/images as an `ImageQuery`; throws 400 with Glance's words for what it cannot be. */
import type { ColumnFilter, ImageQuery, SortKey, SortOrder } from '#db/repo/image/list.ts';
import { CloudError } from '#domain/errors.ts';
import { MEMBER_STATUSES, VISIBILITIES } from '#domain/image/image.ts';

export type RawQuery = Readonly<Record<string, string | readonly string[] | undefined>>;

export const DEFAULT_LIMIT = 25;
export const MAX_LIMIT = 1000;
const MAX_FILTERS = 64;

const SORT_KEYS: readonly SortKey[] = [
  'name',
  'status',
  'container_format',
  'disk_format',
  'size',
  'id',
  'created_at',
  'updated_at',
];

const TEXT_COLUMNS = ['id', 'name', 'status', 'owner', 'container_format', 'disk_format', 'checksum', 'os_hash_value'];
const TIME_COLUMNS = ['created_at', 'updated_at'];
const NUMBER_COLUMNS = ['min_disk', 'min_ram', 'size', 'virtual_size'];
const OPERATORS = { eq: '=', neq: '!=', gt: '>', gte: '>=', lt: '<', lte: '<=' } as const;
const NOT_FILTERS = ['limit', 'marker', 'sort', 'sort_key', 'sort_dir', 'member_status', 'visibility', 'tag'];

export type Asked = Omit<ImageQuery, 'projectId' | 'seesAll' | 'after'> & { readonly marker: string | null };

export function parseListQuery(query: RawQuery): Asked {
  const filters: ColumnFilter[] = [
    { column: 'os_hidden', operator: '=', value: toBit('os_hidden', one(query, 'os_hidden') ?? 'false') },
  ];
  const properties: [string, string][] = [];
  for (const name of Object.keys(query)) {
    if (NOT_FILTERS.includes(name) || name === 'os_hidden') continue;
    const value = one(query, name) ?? '';
    const filter = columnFilter(name, value);
    if (filter) filters.push(filter);
    else properties.push([name, value]);
  }
  const tags = all(query, 'tag');
  if (filters.length + properties.length + tags.length > MAX_FILTERS) bad(`A list may have ${MAX_FILTERS} filters.`);
  return {
    visibility: choice('visibility', one(query, 'visibility'), [...VISIBILITIES, 'all'] as const) ?? 'default',
    memberStatus: choice('status', one(query, 'member_status'), [...MEMBER_STATUSES, 'all'] as const) ?? 'accepted',
    filters,
    properties: Object.fromEntries(properties),
    tags,
    sort: sortOf(query),
    marker: one(query, 'marker') ?? null,
    limit: limitOf(one(query, 'limit')),
  };
}

function columnFilter(name: string, value: string): ColumnFilter | null {
  if (name === 'size_min') return { column: 'size', operator: '>=', value: toInteger(name, value) };
  if (name === 'size_max') return { column: 'size', operator: '<=', value: toInteger(name, value) };
  if (name === 'protected') return { column: 'protected', operator: '=', value: toBit(name, value) };
  if (name === 'changes-since') bad('The "changes-since" filter is no longer available on v2.');
  // The name was looked up in lists of columns, which the compiler cannot see.
  const column = name as ColumnFilter['column'];
  if (NUMBER_COLUMNS.includes(name)) return { column, operator: '=', value: toInteger(name, value) };
  if (TIME_COLUMNS.includes(name)) return timeFilter(column, value);
  if (!TEXT_COLUMNS.includes(name)) return null;
  if (value.startsWith('in:')) return { column, operator: 'in', value: splitQuoted(value.slice(3)) };
  for (const operator of ['eq', 'neq'] as const)
    if (value.startsWith(`${operator}:`))
      return { column, operator: OPERATORS[operator], value: value.slice(operator.length + 1) };
  return { column, operator: '=', value };
}

function timeFilter(column: ColumnFilter['column'], value: string): ColumnFilter {
  const [, operator = 'eq', text = ''] = /^(?:([a-z]+):)?(.*)$/s.exec(value) ?? [];
  if (!Object.hasOwn(OPERATORS, operator)) bad(`Unable to filter by unknown operator '${operator}'.`);
  const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(text) ? Date.parse(withZone(text)) : Number.NaN;
  if (Number.isNaN(time)) bad(`Invalid datetime format: ${text}`);
  return { column, operator: OPERATORS[operator as keyof typeof OPERATORS], value: time };
}

/** Glance's times are UTC also where they do not say so. A plus may have arrived as a space. */
function withZone(text: string): string {
  const zoned = text.replace(' ', '+');
  return /(Z|[+-]\d\d:?\d\d)$/.test(zoned) ? zoned : `${zoned}Z`;
}

/** `a,"b,c"` → a and b,c. */
function splitQuoted(text: string): string[] {
  const values: string[] = [];
  let current = '';
  let quoted = false;
  for (const character of text) {
    if (character === '"') quoted = !quoted;
    else if (character === ',' && !quoted) {
      values.push(current);
      current = '';
    } else current += character;
  }
  if (quoted) bad(`Invalid filter value ${text}. The quote is not closed.`);
  return [...values, current].slice(0, MAX_LIMIT);
}

function sortOf(query: RawQuery): SortOrder[] {
  const sort = one(query, 'sort');
  const keys = all(query, 'sort_key');
  const directions = all(query, 'sort_dir');
  if (sort !== undefined) {
    if (keys.length > 0 || directions.length > 0) bad('Old and new sorting syntax cannot be combined');
    return sort.split(',').map((part) => {
      const [key = '', direction = 'desc'] = part.split(':');
      return order(key.trim(), direction.trim());
    });
  }
  if (directions.length > 1 && directions.length !== keys.length)
    bad('Number of sort dirs does not match the number of sort keys');
  const [only = 'desc'] = directions;
  return (keys.length > 0 ? keys : ['created_at']).map((key, index) =>
    order(key.trim(), (directions.length > 1 ? directions[index] : only) ?? 'desc'),
  );
}

function order(key: string, direction: string): SortOrder {
  const known = SORT_KEYS.find((each) => each === key);
  if (!known) bad(`Invalid sort key: ${key}. It must be one of the following: ${SORT_KEYS.join(', ')}.`);
  if (direction !== 'asc' && direction !== 'desc') bad(`Invalid sort direction: ${direction}`);
  return { key: known, direction };
}

function limitOf(value: string | undefined): number {
  if (value === undefined) return DEFAULT_LIMIT;
  if (!/^[+-]?\d{1,15}$/.test(value.trim())) bad('limit param must be an integer');
  const limit = Number(value);
  if (limit < 0) bad('limit param must be positive');
  return Math.min(limit, MAX_LIMIT);
}

function toInteger(name: string, value: string): number {
  if (!/^-?\d{1,15}$/.test(value)) bad(`Filter ${name} must be an integer: '${value}'`);
  return Number(value);
}

function toBit(name: string, value: string): number {
  const text = value.toLowerCase();
  if (text !== 'true' && text !== 'false')
    bad(`Invalid value '${value}' for '${name}' filter. Valid values are 'true' or 'false'.`);
  return Number(text === 'true');
}

function choice<Value extends string>(
  what: string,
  value: string | undefined,
  allowed: readonly Value[],
): Value | undefined {
  if (value === undefined) return undefined;
  return allowed.find((each) => each === value) ?? bad(`Invalid ${what}: ${value}`);
}

function one(query: RawQuery, name: string): string | undefined {
  const values = all(query, name);
  if (values.length > 1) bad(`'${name}' can be given once.`);
  return values[0];
}

function all(query: RawQuery, name: string): readonly string[] {
  const value = query[name];
  if (value === undefined) return [];
  return typeof value === 'string' ? [value] : value;
}

function bad(reason: string): never {
  throw new CloudError('badRequest', { reason: reason.slice(0, 400) });
}
