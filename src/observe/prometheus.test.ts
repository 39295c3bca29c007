/** What a process counts is what is scraped from it, and from no other. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import pino from 'pino';
import { METRICS, type Metric, type Sample } from './metrics.ts';
import { prometheus } from './prometheus.ts';

const log = pino({ level: 'silent' });
const seriesOf = (text: string, name: string) => text.split('\n').filter((line) => line.startsWith(name));

test('two in one process share nothing', async () => {
  const [one, other] = [prometheus(log), prometheus(log)];
  one.count('micronova_scheduler_claims_lost_total', {});
  one.count('micronova_scheduler_claims_lost_total', {}, 2);
  one.observe('micronova_step_duration_seconds', { kind: 'create', step: 'schedule', phase: 'do' }, 0.2);
  const text = await one.scrape();
  assert.match(text, /^micronova_scheduler_claims_lost_total 3$/m);
  const labels = 'kind="create",step="schedule",phase="do"';
  assert.ok(text.includes(`micronova_step_duration_seconds_bucket{le="0.1",${labels}} 0`));
  assert.ok(text.includes(`micronova_step_duration_seconds_bucket{le="0.25",${labels}} 1`));
  const untouched = await other.scrape();
  assert.match(untouched, /^micronova_scheduler_claims_lost_total 0$/m);
  assert.deepEqual(seriesOf(untouched, 'micronova_step_duration_seconds'), []);
});

test('a gauge shows what is there now, and nothing that nobody says', async () => {
  const meter = prometheus(log);
  let hosts = ['a', 'b'];
  let isAway = false;
  meter.gauges(() => hosts.map((host): Sample => ({ name: 'micronova_host_up', labels: { host }, value: 1 })));
  meter.gauges(async () => {
    if (isAway) throw new Error('the record is away');
    return [{ name: 'micronova_outbox_messages', labels: {}, value: 7 }];
  });
  const first = await meter.scrape();
  assert.deepEqual(seriesOf(first, 'micronova_host_up'), [
    'micronova_host_up{host="a"} 1',
    'micronova_host_up{host="b"} 1',
  ]);
  assert.deepEqual(seriesOf(first, 'micronova_outbox_messages'), ['micronova_outbox_messages 7']);
  assert.deepEqual(seriesOf(first, 'micronova_operations_running'), []);
  hosts = ['b'];
  isAway = true;
  const second = await meter.scrape();
  assert.deepEqual(seriesOf(second, 'micronova_host_up'), ['micronova_host_up{host="b"} 1']);
  assert.deepEqual(seriesOf(second, 'micronova_outbox_messages'), []);
});

test('every metric is named as Prometheus wants it and says what it is', () => {
  for (const [name, { type, help, labels }] of Object.entries<Metric>(METRICS)) {
    assert.match(name, /^micronova_[a-z_]+$/);
    assert.equal(name.endsWith('_total'), type === 'counter', name);
    if (type === 'histogram') assert.ok(name.endsWith('_seconds'), name);
    assert.match(help, /^[A-Z].*\.$/, name);
    for (const label of labels) assert.doesNotMatch(label, /id|path|url|user|project/, `${name} ${label}`);
  }
});
