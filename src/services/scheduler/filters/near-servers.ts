/** The hints `different_host` and `same_host`: apart from all of these servers, with one of those. */
import type { Filter } from './filter.ts';

export const differentHost: Filter = {
  name: 'different host',
  passes: ({ name }, { apartFrom }) => !apartFrom?.has(name),
  explain: () => 'a server that it shall be apart from is there',
};

export const sameHost: Filter = {
  name: 'same host',
  passes: ({ name }, { togetherWith }) => togetherWith === null || togetherWith.has(name),
  explain: () => 'no server that it shall be with is there',
};
