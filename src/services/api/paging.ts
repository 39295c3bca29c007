/** `limit` and `marker`, alike in every list. */
import { Type } from 'typebox';
import { CloudError } from '#domain/errors.ts';

export const MAX_LIMIT = 1000;

const Digits = Type.String({ pattern: '^[0-9]+$', maxLength: 10 });

/** A query parameter may be given more than once; the last one counts, as in Nova. */
export const repeatable = <Schema extends ReturnType<typeof Type.String>>(schema: Schema) =>
  Type.Union([schema, Type.Array(schema, { maxItems: 100 })]);

export const PagingQuery = {
  limit: Type.Optional(repeatable(Digits)),
  marker: Type.Optional(repeatable(Type.String({ maxLength: 255 }))),
};

type Repeated = string | string[] | undefined;

/** The last value of a parameter that may be repeated. */
export function lastOf(value: Repeated): string | undefined {
  return Array.isArray(value) ? value.at(-1) : value;
}

/** How many to answer, at most the maximum. */
export function limitOf(query: { readonly limit?: Repeated }): number {
  return Math.min(Number(lastOf(query.limit) ?? MAX_LIMIT), MAX_LIMIT);
}

export function markerNotFound(marker: string): CloudError {
  return new CloudError('badRequest', { reason: `marker [${marker}] not found` });
}

/** The `…_links` of a full page, or nothing. */
export function nextLink(
  key: string,
  full: boolean,
  url: string,
  query: Readonly<Record<string, unknown>>,
  lastId: string | undefined,
): Record<string, unknown> {
  if (!full || lastId === undefined) return {};
  const next = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (name === 'marker') continue;
    for (const each of Array.isArray(value) ? value : [value]) next.append(name, String(each));
  }
  next.set('marker', lastId);
  return { [`${key}_links`]: [{ rel: 'next', href: `${url}?${next}` }] };
}
