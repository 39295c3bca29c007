/** The way of a request through the server: ids, dialects, bodies, and that nothing of the inside gets out. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { Type } from 'typebox';
import { CloudError } from '#domain/errors.ts';
import { openLogs } from '#observe/log.ts';
import { computeFault, type FaultWriter, identityFault, imageFault } from './fault.ts';
import { route } from './route.ts';
import { httpServer, mount } from './server.ts';
import { authContext } from './testing/auth-context.ts';

const USER = authContext('u', 'p', ['member']);

function service(name: string, fault: FaultWriter) {
  const doc = name;
  return {
    name,
    prefix: `/${name}`,
    fault,
    log: openLogs({ level: 'silent', to: 'stderr' }).of('micronova'),
    ...(name === 'compute' && {
      requestIdHeader: 'x-compute-request-id',
      microversions: { type: 'compute', legacyHeader: 'X-Old', min: 1, max: 9, below: '/v2.1/' },
    }),
    routes: [
      route({
        method: 'GET',
        path: '/v2.1/base',
        doc,
        access: 'anyone',
        success: 200,
        handle: ({ base, version }) => ({ body: { base, version } }),
      }),
      route({ method: 'GET', path: '/v2.1/mine', doc, access: 'token', success: 200, handle: () => ({ body: {} }) }),
      route({
        method: 'GET',
        path: '/v2.1/broken',
        doc,
        access: 'anyone',
        success: 200,
        handle: () => {
          throw new Error('select secret from /srv/secret');
        },
      }),
      route({
        method: 'GET',
        path: '/v2.1/things/:id',
        doc,
        access: 'anyone',
        success: 200,
        handle: ({ params }) => {
          throw new CloudError('notFound', { what: 'Thing', id: params.id ?? '' });
        },
      }),
      route({
        method: 'POST',
        path: '/v2.1/things',
        doc,
        access: { rule: 'things:create', role: 'member' },
        body: Type.Object({ name: Type.String() }, { additionalProperties: false }),
        success: 201,
        handle: ({ body }) => ({ body }),
      }),
    ],
  };
}

async function started() {
  const log = openLogs({ level: 'silent', to: 'stderr' }).of('micronova');
  const options = { authenticate: (token: string) => (token === 'good' ? USER : null), log };
  const server = httpServer(options);
  for (const [name, fault] of [
    ['compute', computeFault],
    ['identity', identityFault],
    ['image', imageFault],
  ] as const)
    mount(server, service(name, fault), options);
  await server.ready();
  return server;
}

const JSON_TYPE = { 'x-auth-token': 'good', 'content-type': 'application/json' };

test('a request id is taken over in its own form only, and answered in both headers', async () => {
  await using server = await started();
  const id = 'req-01234567-89ab-4def-8123-456789abcdef';
  const ask = async (given?: string) => {
    const headers = given === undefined ? {} : { 'x-openstack-request-id': given };
    const { headers: answered } = await server.inject({ url: '/compute/v2.1/base', headers });
    assert.equal(answered['x-openstack-request-id'], answered['x-compute-request-id']);
    return String(answered['x-openstack-request-id']);
  };
  assert.equal(await ask(id), id);
  for (const bad of [undefined, '', 'abc', id.toUpperCase(), `${id}x`, id.slice(4), `${id}, ${id}`]) {
    const made = await ask(bad);
    assert.match(made, /^req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    assert.notEqual(made, bad);
  }
  assert.notEqual(await ask(), await ask());
});

test('every service refuses in its own dialect, and says nothing of the inside', async () => {
  await using server = await started();
  for (const url of ['/v2.1/broken', '/v2.1/things/x', '/v2.1/things/%ff', `/v2.1/things/${'x'.repeat(2000)}`]) {
    const compute = await server.inject({ url: `/compute${url}` });
    const [[name, fault] = ['', {}]] = Object.entries<{ code?: number }>(compute.json());
    assert.equal(fault.code, compute.statusCode, url);
    assert.match(name, /^(itemNotFound|badRequest|computeFault)$/);
    const identity = await server.inject({ url: `/identity${url}` });
    assert.deepEqual(Object.keys(identity.json().error).toSorted(), ['code', 'message', 'title']);
    const image = await server.inject({ url: `/image${url}` });
    assert.match(String(image.headers['content-type']), /^text\/html/);
    for (const { body, headers } of [compute, identity, image]) {
      assert.doesNotMatch(body, /secret|work|\.ts|at /);
      assert.match(String(headers['x-openstack-request-id']), /^req-/);
    }
  }
});

test('what is no route is a page of the web server, but Keystone’s own words in Keystone', async () => {
  await using server = await started();
  for (const url of [
    '/compute/nothing',
    '/image/nothing',
    '/nothing',
    '/',
    '/compute/v2.1/base/',
    '/compute/v2.1/base.json',
  ]) {
    const { statusCode, headers } = await server.inject({ url });
    assert.deepEqual([statusCode, headers['content-type']], [404, 'text/html; charset=UTF-8'], url);
  }
  const { error } = (await server.inject({ url: '/identity/nothing' })).json();
  assert.deepEqual(error, { code: 404, message: 'The resource could not be found.', title: 'Not Found' });
  assert.equal((await server.inject({ method: 'HEAD', url: '/compute/v2.1/base' })).statusCode, 404);
});

test('without a good token 401 says where to get one', async () => {
  await using server = await started();
  for (const headers of [{}, { 'x-auth-token': '' }, { 'x-auth-token': 'bad' }]) {
    const answer = await server.inject({ url: '/compute/v2.1/mine', headers: { host: 'cloud.example', ...headers } });
    assert.equal(answer.statusCode, 401);
    assert.equal(answer.headers['www-authenticate'], 'Keystone uri="http://cloud.example/identity"');
    assert.deepEqual(answer.json(), {
      error: { code: 401, message: 'The request you have made requires authentication.', title: 'Unauthorized' },
    });
  }
});

test('no spelling of a path gets past the microversion or the schema', async () => {
  await using server = await started();
  for (const path of [
    '/compute/v2.1/things',
    '/compute/v2%2E1/things',
    '/compute/v2.1/%74hings',
    'http://x/compute/v2.1/things',
  ]) {
    const bad = await server.inject({ method: 'POST', url: path, headers: JSON_TYPE, payload: '{"name":1}' });
    if (bad.statusCode === 404) continue;
    assert.equal(bad.statusCode, 400, path);
    assert.equal(bad.headers['openstack-api-version'], 'compute 2.1');
    const headers = { ...JSON_TYPE, 'openstack-api-version': 'compute 2.99' };
    const high = await server.inject({ method: 'POST', url: path, headers, payload: '{"name":"a"}' });
    assert.equal(high.statusCode, 406, path);
  }
});

test('bodies that are none of JSON are refused', async () => {
  await using server = await started();
  const post = async (payload: string | undefined, headers: object = JSON_TYPE) =>
    (
      await server.inject({
        method: 'POST',
        url: '/compute/v2.1/things',
        headers: { ...headers },
        ...(payload !== undefined && { payload }),
      })
    ).statusCode;
  assert.equal(await post('{"name":"a"}'), 201);
  assert.equal(await post('{"name":"a"}', { ...JSON_TYPE, 'content-type': 'Application/JSON; charset=utf-8' }), 201);
  for (const payload of [
    undefined,
    '',
    '{',
    'null',
    '[]',
    '{"name":"a"}x',
    '{"name":"a","__proto__":{}}',
    '[['.repeat(50_000),
  ])
    assert.equal(await post(payload), 400, (payload ?? 'none').slice(0, 30));
  for (const type of ['text/plain', 'application/xml', ';;;', 'application/jsonx'])
    assert.equal(await post('{"name":"a"}', { ...JSON_TYPE, 'content-type': type }), 415, type);
  assert.equal(await post('{"name":"a"}', { 'x-auth-token': 'good' }), 415);
  assert.equal(await post(`{"name":"${'a'.repeat(300 * 1024)}"}`), 413);
});

test('a hostile Host is refused, and a missing one is where the connection came to', async () => {
  await using server = await started();
  const url = new URL(await server.listen({ host: '127.0.0.1', port: 0 }));
  const raw = async (head: string) => {
    const socket = connect(Number(url.port), url.hostname);
    socket.end(`GET /compute/v2.1/base ${head}\r\nConnection: close\r\n\r\n`);
    return (await socket.toArray()).join('');
  };
  assert.match(await raw('HTTP/1.1\r\nHost: a"><script>'), /^HTTP\/1\.1 400 [\s\S]*Malformed Host header/);
  assert.match(await raw('HTTP/1.0'), new RegExp(`"base":"http://${url.host}/compute"`));
});

test('what is no HTTP is refused with a status and no word of the server', async () => {
  await using server = await started();
  const url = new URL(await server.listen({ host: '127.0.0.1', port: 0 }));
  for (const [sent, status] of [
    ['GET http:/..//x HTTP/1.1\r\nhost: a\r\n\r\n', 400],
    ['nonsense\r\n\r\n', 400],
    [`GET / HTTP/1.1\r\nhost: a\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`, 431],
  ] as const) {
    const socket = connect(Number(url.port), url.hostname);
    socket.end(sent);
    const answer = (await socket.toArray()).join('');
    assert.match(
      answer,
      new RegExp(`^HTTP/1\\.1 ${status} [A-Z][^\r]*\r\ncontent-length: 0\r\nconnection: close\r\n\r\n$`),
    );
  }
});
