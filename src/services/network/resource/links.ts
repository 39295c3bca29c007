/** `…_links` of a page: where the next and the one before are, as Neutron has them. */
import type { RawQuery } from './list-query.ts';
import { valuesOf } from './list-query.ts';

export interface Link {
  readonly rel: 'next' | 'previous';
  readonly href: string;
}

export interface Page {
  readonly ids: readonly string[];
  readonly limit: number;
  readonly isReverse: boolean;
}

/** A page that is not full has nothing behind it. */
export function pageLinks(url: string, query: RawQuery, { ids, limit, isReverse }: Page): Link[] {
  const isFull = ids.length === limit;
  const link = (rel: Link['rel'], marker: string | undefined): Link => {
    const params = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      if (name === 'marker' || name === 'page_reverse') continue;
      for (const each of valuesOf(value)) params.append(name, each);
    }
    if (marker !== undefined) params.set('marker', marker);
    if (rel === 'previous') params.set('page_reverse', 'True');
    return { rel, href: `${url}?${params}` };
  };
  return [
    ...(isFull || isReverse ? [link('next', ids.at(-1))] : []),
    ...(isFull || !isReverse ? [link('previous', ids[0])] : []),
  ];
}
