/** Spans as a collector gets them over HTTP. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { test } from 'node:test';
import pino from 'pino';
import { CloudError } from '#domain/errors.ts';
import { observeCommand } from './command.ts';
import { currentContext, withContext } from './context.ts';
import { NO_METER } from './metrics.ts';
import { type OtelTracer, otelTracer } from './otel.ts';
import { inSpan, NO_TRACER } from './tracer.ts';

interface Span {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly startTimeUnixNano: string;
  readonly status: { readonly code?: number; readonly message?: string };
}

interface Export {
  readonly resourceSpans: readonly {
    readonly resource: {
      readonly attributes: readonly { readonly key: string; readonly value: { stringValue?: string } }[];
    };
    readonly scopeSpans: readonly { readonly spans: readonly Span[] }[];
  }[];
}

const log = pino({ level: 'silent' });
const REQUEST = 'req-01234567-89ab-4def-8123-456789abcdef';
const TRACE = '0123456789ab4def8123456789abcdef';

/** What a collector has got when the tracer is closed. */
async function exported(work: (tracer: OtelTracer) => Promise<void>): Promise<Map<string, Span & { service: string }>> {
  const spans = new Map<string, Span & { service: string }>();
  const server = createServer(async (request, response) => {
    assert.equal(request.url, '/v1/traces');
    for (const { resource, scopeSpans } of ((await json(request)) as Export).resourceSpans)
      for (const span of scopeSpans.flatMap((each) => each.spans)) {
        const service = resource.attributes.find(({ key }) => key === 'service.name')?.value.stringValue ?? '';
        spans.set(span.name, { ...span, service });
      }
    response.end('{}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const tracer = otelTracer({ endpoint, host: 'a', log, meter: NO_METER });
  await work(tracer);
  await tracer.close();
  server.closeAllConnections();
  server.close();
  return spans;
}

const inRequest = <Result>(work: () => Promise<Result>) => withContext({ requestId: REQUEST }, work);

test('the first span of a request has a trace of its digits; those within are below it, each with its service', async () => {
  const spans = await exported(async (tracer) => {
    await inRequest(() =>
      inSpan(tracer, 'outer', { service: 'nova-api', kind: 'server' }, () =>
        inSpan(tracer, 'inner', { service: 'nova-conductor', kind: 'internal' }, async () => {}),
      ),
    );
    await inSpan(tracer, 'nobody asked', { service: 'nova-api', kind: 'internal' }, async () => {});
  });
  const [outer, inner] = [spans.get('outer'), spans.get('inner')];
  assert.deepEqual([outer?.traceId, outer?.service, outer?.parentSpanId], [TRACE, 'nova-api', undefined]);
  assert.deepEqual([inner?.traceId, inner?.service, inner?.parentSpanId], [TRACE, 'nova-conductor', outer?.spanId]);
  assert.equal(spans.size, 2);
});

test('an operation’s span has the same id whoever writes it, and began when it was accepted', async () => {
  const id = 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee';
  const options = { service: 'nova-conductor', kind: 'internal', id, requestId: REQUEST, beganAt: 1_000 } as const;
  const [one, two] = [NO_TRACER, otelTracer({ endpoint: 'http://127.0.0.1:1', host: 'a', log, meter: NO_METER })];
  assert.equal(one.begin('operation', options).traceparent, undefined);
  assert.equal(two.begin('operation', options).traceparent, `00-${TRACE}-8dddeeeeeeeeeeee-01`);
  await two.close();
  const spans = await exported(async (tracer) => tracer.begin('operation', options).end());
  assert.deepEqual(
    [spans.get('operation')?.spanId, spans.get('operation')?.startTimeUnixNano],
    ['8dddeeeeeeeeeeee', '1000000000'],
  );
});

test('an error is a code, never its text', async () => {
  const spans = await exported(async (tracer) => {
    const failing = inRequest(() =>
      inSpan(tracer, 'failing', { service: 'nova-api', kind: 'internal' }, async () => {
        throw new CloudError('notFound', { what: 'Image', id: 'secret' });
      }),
    );
    await assert.rejects(failing, /secret/);
  });
  assert.equal(spans.get('failing')?.status.code, 2);
  assert.ok(!JSON.stringify([...spans]).includes('secret'));
});

test('commands to a hypervisor are spans of the request, but not the questions that are asked again and again', async () => {
  const spans = await exported(async (tracer) => {
    const telemetry = { meter: NO_METER, tracer };
    const command = (name: string, failed = false) =>
      observeCommand(telemetry, { instanceId: 'i', command: name, ms: 5, failed });
    await inRequest(() =>
      inSpan(tracer, 'work', { service: 'nova-compute', kind: 'server' }, async () => {
        command('blockdev-backup');
        command('query-jobs');
        command('query-status', true);
      }),
    );
    command('system_powerdown');
  });
  assert.deepEqual([...spans.keys()].toSorted(), ['blockdev-backup', 'query-status', 'work']);
  assert.equal(spans.get('blockdev-backup')?.parentSpanId, spans.get('work')?.spanId);
});

test('a collector that is away costs its spans and one line in the log', async () => {
  const said: string[] = [];
  const lost: unknown[] = [];
  const tracer = otelTracer({
    endpoint: 'http://user:secret@127.0.0.1:1',
    host: 'a',
    log: { info: () => {}, warn: (...words: unknown[]) => said.push(JSON.stringify(words)) } as never,
    patienceMs: 100,
    meter: { ...NO_METER, count: (_name, labels) => lost.push(labels) },
  });
  await inRequest(() => inSpan(tracer, 'any', { service: 'nova-api', kind: 'server' }, async () => {}));
  await tracer.close();
  assert.deepEqual([said.length, lost], [1, [{ outcome: 'lost' }]]);
  assert.ok(!said[0]?.includes('secret'));
});

test('without an exporter what a client sent is passed on', async () => {
  const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
  const span = NO_TRACER.begin('any', { service: 'nova-api', kind: 'server', parent: traceparent });
  assert.equal(span.traceparent, traceparent);
  await withContext({ requestId: REQUEST, traceparent }, () =>
    inSpan(NO_TRACER, 'any', { service: 'nova-api', kind: 'client' }, async () => {
      assert.equal(currentContext()?.traceparent, traceparent);
    }),
  );
});
