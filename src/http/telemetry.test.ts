/** What is measured and traced of requests has few words, and none of the client's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CloudError } from '#domain/errors.ts';
import { currentContext } from '#observe/context.ts';
import { openLogs } from '#observe/log.ts';
import type { Meter } from '#observe/metrics.ts';
import type { SpanOptions, Tracer } from '#observe/tracer.ts';
import { computeFault } from './fault.ts';
import { addHealthcheck } from './healthcheck.ts';
import { route } from './route.ts';
import { httpServer, mount } from './server.ts';

const log = openLogs({ level: 'silent', to: 'stderr' }).of('micronova');
const OWN = `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01`;

async function observed() {
  const measured: string[] = [];
  const begun: (SpanOptions & { readonly name: string })[] = [];
  const ended: (string | undefined)[] = [];
  const meter: Meter = {
    count: () => {},
    gauges: () => {},
    observe: (_name, labels, seconds) => {
      assert.ok(seconds >= 0 && seconds < 5);
      measured.push(Object.values(labels).join(' '));
    },
  };
  const tracer: Tracer = {
    begin(name, options) {
      begun.push({ name, ...options });
      return { traceparent: OWN, end: (result) => ended.push(result?.error) };
    },
  };
  let seen: string | undefined;
  const options = { authenticate: () => null, log, telemetry: { meter, tracer } };
  const server = httpServer(options);
  const things = route({
    method: 'GET',
    path: '/things/:id',
    doc: '',
    access: 'anyone',
    success: 200,
    handle: ({ params }) => {
      seen = currentContext()?.traceparent;
      if (params.id === 'none') throw new CloudError('notFound', { what: 'Thing', id: 'none' });
      if (params.id === 'bad') throw new Error('bad');
      return { body: {} };
    },
  });
  mount(server, { name: 'nova-api', prefix: '/compute', fault: computeFault, log, routes: [things] }, options);
  addHealthcheck(server, server.services, async () => []);
  await server.ready();
  return { server, measured, begun, ended, seen: () => seen };
}

test('a request counts under its route and the class of its status', async () => {
  const { server, measured, ended } = await observed();
  for (const path of [
    '/compute/things/1',
    '/compute/things/none',
    '/compute/things/bad',
    '/compute/nothing',
    '/?x=secret',
  ])
    await server.inject(path);
  assert.deepEqual(measured, [
    'nova-api GET /compute/things/:id 2xx',
    'nova-api GET /compute/things/:id 4xx',
    'nova-api GET /compute/things/:id 5xx',
    'nova-api GET none 4xx',
    'micronova GET none 4xx',
  ]);
  assert.deepEqual(ended, [undefined, undefined, '500', undefined, undefined]);
  await server.close();
});

test('a trace of the client’s is gone on with when it is one; probes are no trace', async () => {
  const { server, begun, seen } = await observed();
  const given = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-00`;
  const wrong = [
    '',
    'x',
    given.toUpperCase(),
    `01${given.slice(2)}`,
    `00-${'0'.repeat(32)}-${'b'.repeat(16)}-01`,
    `${given}-x`,
  ];
  for (const traceparent of [given, ...wrong])
    await server.inject({ url: '/compute/things/secret', headers: { traceparent } });
  assert.deepEqual(
    begun.map(({ parent }) => parent),
    [given, ...wrong.map(() => undefined)],
  );
  assert.equal(seen(), OWN, 'what happens within is below its span');
  assert.ok(!JSON.stringify(begun).includes('secret'));
  await server.inject('/healthcheck');
  assert.equal(begun.length, 1 + wrong.length);
  await server.close();
});
