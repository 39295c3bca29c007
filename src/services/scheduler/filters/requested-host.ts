/** An administrator asked for this very host. */
import type { Filter } from './filter.ts';

export const requestedHost: Filter = {
  name: 'not the host asked for',
  passes: (host, request) => request.host === null || host.name === request.host,
  explain: ({ host }) => `asked ${host}`,
};
