/** Who watches a process is told the truth: what is not ready and what to do, and soon that it drains. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import pino from 'pino';
import { type HealthListener, listenForHealth } from './health-listener.ts';
import { openHealth } from './process-health.ts';
import { Readiness, type Trouble } from './readiness.ts';

const LISTEN = { host: '127.0.0.1', port: 0 };
const log = pino({ level: 'silent' });
const metrics = { contentType: 'text/plain; version=0.0.4', scrape: async () => 'a_metric 1\n' };

async function withListener(readiness: Readiness, body: (listener: HealthListener) => Promise<void>): Promise<void> {
  const listener = await listenForHealth({ listen: LISTEN, readiness, metrics });
  try {
    await body(listener);
  } finally {
    await listener.close();
  }
}

test('ready when every part is, else 503 with the part, the reason and what to do', async () => {
  const readiness = new Readiness();
  let trouble: Trouble | null = { reason: 'it is away', hint: 'start it' };
  readiness.part('record', () => trouble);
  readiness.part('bus', () => null);
  await withListener(readiness, async ({ url }) => {
    const bad = await fetch(`${url}/readyz`);
    assert.equal(bad.status, 503);
    assert.deepEqual(await bad.json(), {
      ready: false,
      parts: [
        { part: 'record', ready: false, reason: 'it is away', hint: 'start it' },
        { part: 'bus', ready: true },
        { part: 'drain', ready: true },
      ],
    });
    trouble = null;
    readiness.part('bus', () => null);
    assert.equal((await fetch(`${url}/readyz`)).status, 200);
    readiness.drain();
    assert.equal((await fetch(`${url}/readyz`)).status, 503);
    assert.equal((await fetch(`${url}/livez`)).status, 200);
  });
});

test('looks once for many who ask at once, and a look that fails or hangs is a part that is not ready', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const readiness = new Readiness();
  let looks = 0;
  readiness.part('counted', () => {
    looks += 1;
    return null;
  });
  readiness.part('failing', () => {
    throw new Error('broken');
  });
  readiness.part('hanging', () => new Promise<null>(() => {}));
  const answers = Promise.all([readiness.look(), readiness.look(), readiness.look()]);
  t.mock.timers.tick(2_000);
  const [verdict] = await answers;
  assert.equal(looks, 1);
  assert.deepEqual(
    verdict?.parts.map(({ part, ready, reason }) => [part, ready, reason]),
    [
      ['counted', true, undefined],
      ['failing', false, 'broken'],
      ['hanging', false, 'no answer within 2 s'],
      ['drain', true, undefined],
    ],
  );
});

test('answers GET and HEAD of its three paths and nothing else', async () => {
  await withListener(new Readiness(), async ({ url }) => {
    const scraped = await fetch(`${url}/metrics?anything`);
    assert.deepEqual(
      [scraped.headers.get('content-type'), await scraped.text()],
      [metrics.contentType, 'a_metric 1\n'],
    );
    const head = await fetch(`${url}/metrics`, { method: 'HEAD' });
    assert.deepEqual([head.status, head.headers.get('content-length'), await head.text()], [200, '11', '']);
    const posted = await fetch(`${url}/livez`, { method: 'POST' });
    assert.deepEqual([posted.status, posted.headers.get('allow')], [405, 'GET, HEAD']);
    assert.equal((await fetch(`${url}/`)).status, 404);
  });
});

test('where nobody watches nothing listens; where somebody does, readiness is a metric too', async () => {
  const readiness = new Readiness();
  const options = { otlpEndpoint: '', host: 'a', readiness, log };
  await using unwatched = await openHealth({ ...options, listen: null });
  assert.equal(unwatched.url, null);
  await using watched = await openHealth({ ...options, listen: LISTEN });
  readiness.part('record', () => ({ reason: 'away', hint: 'wait' }));
  const text = await (await fetch(`${watched.url}/metrics`)).text();
  assert.match(text, /^micronova_ready\{part="record"\} 0$/m);
  assert.match(text, /^micronova_ready\{part="drain"\} 1$/m);
});
