/** A server that moves goes to another host. */
import type { Filter } from './filter.ts';

export const anotherHost: Filter = {
  name: 'the host it is on',
  passes: (host, { leaving }) => host.name !== leaving,
};
