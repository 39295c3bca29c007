/**
 * A cloud of processes as those see it who watch it: one trace through all of them, metrics of each, and who is ready when
 * something goes away.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { emptyDisk } from '../cloud.ts';
import { eventually } from '../eventually.ts';
import { CloudOfProcesses } from './cloud-of-processes.ts';
import { Collector, type TakenSpan } from './collector.ts';

/** What the SDK waits before it sends. */
process.env.OTEL_BSP_SCHEDULE_DELAY = '100';

const SECRET_NAME = 'a-name-that-only-its-owner-knows';

describe('a cloud that is watched', { timeout: 240_000 }, () => {
  let cloud: CloudOfProcesses;
  let collector: Collector;
  let image: string;

  before(async () => {
    [cloud, collector] = await Promise.all([CloudOfProcesses.create(), Collector.start()]);
    const settings = { health_listen: '127.0.0.1:0', otlp_endpoint: collector.url };
    await cloud.add('api', 'api', settings);
    await Promise.all([
      cloud.add('conductor-1', 'conductor', settings),
      cloud.add('scheduler', 'scheduler', settings),
      cloud.add('host-a', 'compute', { driver: 'fake', ...settings }),
    ]);
    await cloud.open();
    const demo = await cloud.as('demo');
    const wanted = { name: 'tiny', disk_format: 'qcow2', container_format: 'bare' };
    image = (await demo.ok<{ id: string }>('POST', '/image/v2/images', { json: wanted })).id;
    await demo.ok('PUT', `/image/v2/images/${image}/file`, { bytes: await emptyDisk(cloud.dir) });
  });
  after(async () => {
    await cloud[Symbol.asyncDispose]();
    await collector[Symbol.asyncDispose]();
  });

  /** The trace of a request, when its operation has ended and the other processes, too, have told of their parts. */
  const traceOf = (traceId: string, ...others: readonly string[]) =>
    eventually(
      `the trace ${traceId} has its operation${others.map((other) => `, ${other}`).join('')}`,
      async () => {
        const spans = collector.of(traceId);
        const told = new Set(spans.map(({ service, name }) => `${service}: ${name}`));
        const isWhole = others.every((other) => told.has(other));
        return isWhole && spans.some(({ name }) => name.startsWith('operation ')) && spans;
      },
      { state: async () => collector.of(traceId).map(({ service, name }) => `${service}: ${name}`) },
    );
  const traceIdOf = (requestId: string) => requestId.replace(/^req-/, '').replaceAll('-', '');

  test('one create is one trace through api, conductor, scheduler and compute, below the client’s own span', async () => {
    const demo = await cloud.as('demo');
    const [traceId, clientSpan] = ['4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7'];
    const answer = await fetch(`${cloud.url}/compute/v2.1/servers`, {
      method: 'POST',
      headers: {
        ...demo.headers(),
        'content-type': 'application/json',
        traceparent: `00-${traceId}-${clientSpan}-01`,
      },
      body: JSON.stringify({
        server: { name: SECRET_NAME, imageRef: image, flavorRef: '42', networks: 'auto', metadata: { SECRET_NAME } },
      }),
    });
    assert.equal(answer.status, 202);
    const { server } = (await answer.json()) as { server: { id: string } };
    const request = 'nova-api: POST /compute/v2.1/servers';
    const last = ['nova-scheduler: scheduler.claimHost', 'nova-compute: compute.startGuest'];
    const spans = await traceOf(traceId, request, ...last);
    const chain = (...names: readonly string[]) =>
      names.reduce<TakenSpan | undefined>((above, wanted) => {
        const [service, name] = wanted.split(': ');
        const found = spans.find(
          (span) =>
            span.service === service && span.name === name && span.parentSpanId === (above?.spanId ?? clientSpan),
        );
        assert.ok(found, `no ${wanted} below ${above?.name ?? 'the client'} in\n${drawn(spans)}`);
        return found;
      }, undefined);
    chain(request, 'nova-api: conductor.operationReady', 'nova-conductor: conductor.operationReady');
    chain(request, 'nova-api: GET image', 'glance-api: GET /image/v2/images/:id');
    const operation = [request, 'nova-conductor: operation create'];
    chain(
      ...operation,
      'nova-conductor: schedule',
      'nova-conductor: scheduler.claimHost',
      'nova-scheduler: scheduler.claimHost',
    );
    chain(
      ...operation,
      'nova-conductor: createGuest',
      'nova-conductor: compute.createGuest',
      'nova-compute: compute.createGuest',
    );
    chain(
      ...operation,
      'nova-conductor: startGuest',
      'nova-conductor: compute.startGuest',
      'nova-compute: compute.startGuest',
    );
    const ended = spans.find(({ name }) => name === 'operation create');
    assert.equal(ended?.attributes['micronova.instance_id'], server.id);
    assert.equal(ended.attributes['micronova.request_id'], answer.headers.get('x-openstack-request-id'));
    assert.deepEqual(
      spans.filter(({ failed }) => failed),
      [],
    );
    const said = JSON.stringify(collector.spans);
    assert.ok(!said.includes(SECRET_NAME) && !said.includes(demo.headers()['x-auth-token'] ?? ''));
  });

  test('without a trace of the client’s the trace is named by the request; one that is not sampled is not sent', async () => {
    const server = await cloud.launch(image);
    const traceId = traceIdOf(server.requestId);
    const spans = await traceOf(traceId);
    assert.deepEqual(
      spans.filter(({ parentSpanId }) => parentSpanId === '').map(({ name }) => name),
      ['POST /compute/v2.1/servers'],
    );
    const demo = await cloud.as('demo');
    const unsampled = 'a'.repeat(32);
    await fetch(`${cloud.url}/compute/v2.1/servers/${server.id}`, {
      method: 'DELETE',
      headers: { ...demo.headers(), traceparent: `00-${unsampled}-00f067aa0ba902b7-00` },
    });
    await server.isGone();
    const after = await cloud.launch(image);
    await traceOf(traceIdOf(after.requestId));
    assert.deepEqual(collector.of(unsampled), []);
  });

  test('an operation that one conductor began and another ended is one span, with the steps of both below it', async () => {
    const host = cloud.member('host-a');
    host.signal('SIGSTOP');
    const server = await cloud.launch(image);
    const traceId = traceIdOf(server.requestId);
    await eventually('its first step is known', async () =>
      collector.of(traceId).some(({ name }) => name === 'schedule'),
    );
    await cloud.member('conductor-1').kill('SIGTERM');
    await cloud.add('conductor-2', 'conductor', { health_listen: '127.0.0.1:0', otlp_endpoint: collector.url });
    host.signal('SIGCONT');
    // The first one has given its lease back.
    const spans = await eventually(
      'the operation has ended',
      async () => {
        const known = collector.of(traceId);
        return known.some(({ name }) => name === 'operation create') && known;
      },
      { withinMs: 60_000 },
    );
    const [operation, ...more] = spans.filter(({ name }) => name === 'operation create');
    assert.deepEqual(more, []);
    const steps = spans.filter(({ parentSpanId }) => parentSpanId === operation?.spanId).map(({ name }) => name);
    assert.deepEqual(
      ['schedule', 'createGuest', 'startGuest'].filter((step) => !steps.includes(step)),
      [],
      drawn(spans),
    );
  });

  const metricsOf = async (name: string) => {
    const answer = await fetch(`${cloud.member(name).health}/metrics`);
    assert.equal(answer.status, 200);
    assert.match(answer.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
    const text = await answer.text();
    return new Map(
      text.split('\n').flatMap((line): [string, number][] => {
        const [, series = '', value] = /^([a-z]\S*?(?:\{.*\})?) (\S+)$/.exec(line) ?? [];
        return series ? [[series, Number(value)]] : [];
      }),
    );
  };

  test('each process measures its own part', async () => {
    const api = await metricsOf('api');
    const posted = '{service="nova-api",method="POST",route="/compute/v2.1/servers",status="2xx"}';
    assert.equal(api.get(`micronova_http_request_duration_seconds_count${posted}`), 4);
    assert.ok((api.get('micronova_db_transaction_duration_seconds_count{kind="grouped",outcome="ok"}') ?? 0) >= 4);
    assert.ok((api.get('micronova_bus_messages_sent_total{queue="conductor",outcome="held"}') ?? 0) >= 4);
    assert.ok((api.get('process_resident_memory_bytes') ?? 0) > 10_000_000);
    assert.equal(api.get('micronova_operations_running'), undefined, 'that is a conductor’s');
    const scheduler = await metricsOf('scheduler');
    assert.equal(scheduler.get('micronova_scheduler_decisions_total{outcome="claimed"}'), 4);
    const agent = await metricsOf('host-a');
    const created = '{role="compute",method="createGuest",outcome="ok"}';
    assert.equal(agent.get(`micronova_rpc_handler_duration_seconds_count${created}`), 4);
    const conductor = await eventually('the conductor says what the record holds', async () => {
      const metrics = await metricsOf('conductor-2');
      return metrics.get('micronova_servers{host="host-a",state="active"}') === 3 && metrics;
    });
    assert.equal(conductor.get('micronova_host_up{host="host-a"}'), 1);
    assert.equal(conductor.get('micronova_outbox_messages'), 0);
    assert.equal(conductor.get('micronova_images{status="active"}'), 1);
    assert.ok((conductor.get('micronova_image_bytes{status="active"}') ?? 0) > 0);
    assert.equal(conductor.get('micronova_operation_duration_seconds_count{kind="create",outcome="done"}'), 1);
    assert.equal(conductor.get('micronova_ready{part="record"}'), 1);
    for (const name of ['api', 'scheduler', 'host-a', 'conductor-2'])
      for (const series of (await metricsOf(name)).keys())
        assert.doesNotMatch(series, /[0-9a-f]{8}-[0-9a-f]{4}-/, 'an id would be a series of its own');
  });

  const notReady = async (name: string) => {
    const answer = await fetch(`${cloud.member(name).health}/readyz`);
    const { parts } = (await answer.json()) as { parts: { part: string; ready: boolean; hint?: string }[] };
    const troubled = parts.filter(({ ready }) => !ready);
    assert.equal(answer.status, troubled.length === 0 ? 200 : 503);
    assert.ok(troubled.every(({ hint = '' }) => hint !== ''));
    return troubled.map(({ part }) => part).join();
  };
  const becomes = (name: string, wanted: string) =>
    eventually(`${name} is not ready for '${wanted}'`, async () => (await notReady(name)) === wanted, {
      withinMs: 60_000,
      state: () => notReady(name),
    });

  test('whoever needs what is away is not ready, and says what; all live', async () => {
    await becomes('api', '');
    await becomes('host-a', '');
    await cloud.broker.stop();
    await becomes('api', 'bus');
    await becomes('host-a', 'bus');
    const check = await fetch(`${cloud.url}/compute/healthcheck`);
    assert.deepEqual([check.status, await check.text()], [503, 'NOT READY: bus']);
    await cloud.broker.start();
    await becomes('api', '');
    await becomes('host-a', '');
    await cloud.database.stop();
    await becomes('api', 'record');
    assert.equal(await notReady('host-a'), '');
    for (const name of ['api', 'host-a', 'conductor-2'])
      assert.equal((await fetch(`${cloud.member(name).health}/livez`)).status, 200);
    await cloud.database.start();
    await becomes('api', '');
  });
});

function drawn(spans: readonly TakenSpan[]): string {
  return spans
    .map(({ service, name, spanId, parentSpanId }) => `${parentSpanId} > ${spanId} ${service}: ${name}`)
    .join('\n');
}
