/** The guide's alerts ask for metrics that exist, with labels that they have. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { METRICS, type Metric } from './metrics.ts';

const GUIDE = new URL('../../docs/guide/observing.md', import.meta.url);

test('every metric that the guide names is there', () => {
  const guide = readFileSync(GUIDE, 'utf8');
  const named = [...guide.matchAll(/\b(micronova_[a-z_]+)(?:\{([a-z_]+)=)?/g)];
  assert.ok(named.length > 5);
  for (const [, name = '', label] of named) {
    const metric: Metric | undefined = { ...METRICS }[name.replace(/_(bucket|count|sum)$/, '') as keyof typeof METRICS];
    assert.ok(metric, name);
    if (label !== undefined) assert.ok(metric.labels.includes(label), `${name} ${label}`);
  }
  for (const [, label = '', name = ''] of guide.matchAll(/ by \((\w+)\) \(?(?:increase\()?(micronova_[a-z_]+)/g))
    assert.ok((METRICS[name as keyof typeof METRICS] as Metric).labels.includes(label), `${name} by ${label}`);
});
