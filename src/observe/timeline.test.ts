/** The timeline: arrows in the order in which they began, and the diagram that is drawn of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Hop } from './log.ts';
import type { LogLine } from './log-reader.ts';
import { arrowsOf, drawTimeline } from './timeline.ts';

/** A line written `at` ms after midnight, when the answer was there. */
const line = (at: number, hop?: Hop): LogLine => ({
  time: new Date(Date.UTC(2026, 0, 1) + at).toISOString(),
  level: 'info',
  service: 'nova-api',
  msg: 'hop',
  ...(hop && { hop }),
});

const LINES = [
  line(30, { from: 'nova-compute', to: 'qemu', what: 'cont', ms: 2 }),
  line(40, { from: 'nova-api', to: 'nova-conductor', what: 'operationReady', ms: 38 }),
  line(5, { from: 'client', to: 'nova-api', what: 'POST /v2.1/servers', ms: 5 }),
  line(7),
  line(50, { from: 'nova-compute', to: 'glance-api', what: 'GET file', ms: 1, error: 'no image' }),
];

test('arrows begin before they are logged, and lines without a hop are none', () => {
  const arrows = arrowsOf(LINES);
  assert.deepEqual(
    arrows.map(({ what, at }) => [what, at - Date.UTC(2026, 0, 1)]),
    [
      ['POST /v2.1/servers', 0],
      ['operationReady', 2],
      ['cont', 28],
      ['GET file', 49],
    ],
  );
});

test('polls of the hypervisor that repeat are one arrow, other commands are not', () => {
  const hop = (what: string) => ({ from: 'nova-compute', to: 'qemu', what, ms: 1 });
  const lines = ['query-jobs', 'query-jobs', 'cont', 'query-jobs', 'cont'].map((what, index) =>
    line(index * 10, hop(what)),
  );
  assert.deepEqual(
    arrowsOf(lines).map(({ what, times, ms }) => [what, times, ms]),
    [
      ['query-jobs', 3, 3],
      ['cont', 1, 1],
      ['cont', 1, 1],
    ],
  );
});

test('the diagram has a column for each party in the order of the way, and an arrow for each row', () => {
  const [head = '', ...rows] = drawTimeline(arrowsOf(LINES));
  assert.deepEqual(head.trim().split(/\s+/), [
    'client',
    'nova-api',
    'nova-conductor',
    'nova-compute',
    'qemu',
    'glance-api',
  ]);
  assert.equal(rows.length, 4);
  assert.match(rows[0] ?? '', /^ +0 ms.*│─+►│.*POST \/v2\.1\/servers {2}5\.0 ms$/);
  assert.match(rows[3] ?? '', /^ +49 ms.*GET file {2}1\.0 ms {2}FAILED: no image$/);
  assert.equal(new Set(rows.map((row) => row.indexOf('│'))).size, 1, 'the columns stand');
});

test('an answer against the order of the way points left, a call to oneself stands still', () => {
  const at = (hop: Hop) => drawTimeline(arrowsOf([line(0, hop)])).at(-1) ?? '';
  assert.match(at({ from: 'nova-compute', to: 'nova-api', what: 'x' }), /◄/);
  assert.match(at({ from: 'nova-api', to: 'nova-api', what: 'x' }), /├─┐/);
});

test('of nothing nothing is drawn, and an unknown party breaks nothing', () => {
  assert.deepEqual(drawTimeline([]), []);
  assert.equal(drawTimeline(arrowsOf([line(0, { from: 'stranger', to: 'nova-api', what: 'x' })])).length, 2);
});
