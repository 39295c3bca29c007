/**
 * The host's aggregates say what the flavor's extra specs with the scope `aggregate_instance_extra_specs` ask for. A value of
 * an aggregate may be several, with commas. Source: Nova's AggregateInstanceExtraSpecsFilter.
 */
import { matchesSpec } from '../spec-match.ts';
import type { Filter } from './filter.ts';

export const aggregateSpecs: Filter = {
  name: 'aggregate metadata',
  passes: ({ aggregates }, { specs }) =>
    specs.aggregates.every(({ key, value }) =>
      aggregates
        .flatMap((metadata) => (metadata[key] === undefined ? [] : metadata[key].split(',')))
        .some((has) => matchesSpec(has.trim(), value)),
    ),
  explain: ({ specs }) => `asked ${specs.aggregates.map(({ key, value }) => `${key} ${value}`).join(', ')}`,
};
