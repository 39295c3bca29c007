/** A server that is told to end answers what it has in hand, and is held up by nobody who asks nothing. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, createServer, get, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { openLogs } from '#observe/log.ts';
import { Connections } from './connections.ts';
import { addHealthcheck } from './healthcheck.ts';
import { httpServer } from './server.ts';

const log = openLogs({ level: 'silent', to: 'stderr' }).of('micronova');

/** A server with a path that answers when it is told to. */
async function listening() {
  const server = httpServer({ authenticate: () => null, log });
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<void>();
  server.get('/slow', async () => {
    asked.resolve();
    await answer.promise;
    return 'slow';
  });
  server.get('/fast', async () => 'fast');
  const url = await server.listen({ host: '127.0.0.1', port: 0 });
  return { server, url, asked: asked.promise, answer: answer.resolve };
}

const responseTo = async (url: string, agent: Agent) => {
  const [response] = (await once(get(url, { agent }), 'response')) as [IncomingMessage];
  return { connection: response.headers.connection, body: await text(response) };
};

test('a request in hand is answered, on a connection that is closed then; new ones are refused', async () => {
  const { server, url, asked, answer } = await listening();
  const agent = new Agent({ keepAlive: true });
  const slow = responseTo(`${url}/slow`, agent);
  await asked;
  let isClosed = false;
  const closed = server.close().then(() => {
    isClosed = true;
  });
  await assert.rejects(fetch(`${url}/fast`));
  assert.equal(isClosed, false);
  answer();
  assert.deepEqual(await slow, { connection: 'close', body: 'slow' });
  await closed;
  agent.destroy();
});

test('a request that takes longer than ten seconds is waited for as well, and one that takes too long is cut', async (t) => {
  for (const [seconds, answered] of [
    [12, true],
    [16, false],
  ] as const) {
    const { server, url, asked, answer } = await listening();
    const slow = responseTo(`${url}/slow`, new Agent()).catch(() => null);
    await asked;
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const closed = server.close();
    // What sets its timers a turn later.
    await new Promise((resolve) => setImmediate(resolve));
    for (let second = 0; second < seconds; second++) t.mock.timers.tick(1_000);
    t.mock.timers.reset();
    if (answered) answer();
    await closed;
    assert.equal((await slow)?.body, answered ? 'slow' : undefined);
    answer();
  }
});

test('connections that are kept are closed at once, and one on which nothing was asked soon', async () => {
  const { server, url } = await listening();
  const agent = new Agent({ keepAlive: true });
  assert.deepEqual(await responseTo(`${url}/fast`, agent), { connection: 'keep-alive', body: 'fast' });
  const silent = connect(Number(new URL(url).port), '127.0.0.1');
  await once(silent, 'connect');
  const ended = once(silent, 'close');
  silent.resume();
  const begun = performance.now();
  await server.close();
  await ended;
  assert.ok(performance.now() - begun < 5_000, 'it waited for a client that says nothing');
  agent.destroy();
});

test('a retiring server answers all that comes, and each time says that it was the last', async () => {
  const { server, url, asked, answer } = await listening();
  const agent = new Agent({ keepAlive: true });
  const slow = responseTo(`${url}/slow`, agent);
  await asked;
  server.connections.retire();
  assert.deepEqual(await responseTo(`${url}/fast`, agent), { connection: 'close', body: 'fast' });
  answer();
  assert.deepEqual(await slow, { connection: 'close', body: 'slow' });
  await server.close();
  agent.destroy();
});

test('a request that does not end is cut off when the time is over', async () => {
  const connections = new Connections();
  const server = createServer(() => {});
  connections.watch(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const request = get(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  const failed = once(request, 'error');
  await once(server, 'request');
  assert.equal(connections.inFlight, 1);
  server.close();
  await connections.end(20);
  assert.equal(((await failed)[0] as NodeJS.ErrnoException).code, 'ECONNRESET');
});

test('the health check speaks as oslo.middleware does, without a token', async () => {
  await using server = httpServer({ authenticate: () => null, log });
  let troubles: string[] = [];
  addHealthcheck(server, [{ prefix: '/compute' }], async () => troubles);
  const ask = async (method: 'GET' | 'HEAD', url: string, accept?: string) => {
    const answer = await server.inject({ method, url, headers: accept === undefined ? {} : { accept } });
    return [answer.statusCode, answer.headers['content-type'], answer.body];
  };
  const plain = 'text/plain; charset=UTF-8';
  for (const path of ['/healthcheck', '/compute/healthcheck']) {
    assert.deepEqual(await ask('GET', path), [200, plain, 'OK']);
    assert.deepEqual(await ask('HEAD', path), [204, plain, '']);
  }
  assert.deepEqual(await ask('GET', '/healthcheck', 'image/png'), [200, plain, 'OK']);
  const [status, type, body] = await ask('GET', '/healthcheck', 'application/json;q=0.9, */*');
  assert.equal(status, 200);
  assert.match(String(type), /^application\/json/);
  assert.deepEqual(JSON.parse(String(body)), { detailed: false, reasons: ['OK'] });
  assert.match(String((await ask('GET', '/healthcheck', 'text/html'))[2]), /<TD>OK<\/TD>/);
  troubles = ['record', 'bus'];
  assert.deepEqual(await ask('GET', '/healthcheck'), [503, plain, 'NOT READY: record\nNOT READY: bus']);
  assert.deepEqual((await ask('HEAD', '/healthcheck')).slice(0, 1), [503]);
});
