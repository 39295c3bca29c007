/** The host is in the zone that was asked for, if one was. */
import type { Filter } from './filter.ts';

export const availabilityZone: Filter = {
  name: 'availability zone',
  passes: (host, { availabilityZone }) => availabilityZone === null || host.availabilityZone === availabilityZone,
  explain: ({ availabilityZone }) => `asked ${availabilityZone}`,
};
