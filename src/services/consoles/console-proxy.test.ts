/** The console proxy: whom it lets in, what it passes on, how much of it it remembers, and how connections end. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { WebSocket } from 'ws';
import { closing, consoleHarness, ended, next, notReady, open } from './console-harness.ts';

type Harness = Awaited<ReturnType<typeof consoleHarness>>;

const viewer = async (proxy: Harness, kind: 'novnc' | 'serial' = 'novnc', server?: string) => {
  const token = await proxy.token(server ?? (await proxy.addServer()), kind);
  return open(await proxy.connect(token));
};

test('bytes go both ways, in binary frames, over both addresses', async () => {
  await using proxy = await consoleHarness();
  const token = await proxy.token(await proxy.addServer(), 'serial');
  for (const path of ['/console/ws', '/console/serial']) {
    const socket = open(await proxy.connect(token, { path }));
    assert.equal(socket.protocol, 'binary');
    const guest = proxy.guests.at(-1) as Duplex;
    guest.write(Buffer.from([0xff, 0x00, 0x41]));
    const [bytes, isBinary] = await once(socket, 'message');
    assert.deepEqual([[...bytes], isBinary], [[0xff, 0x00, 0x41], true]);
    socket.send('typed');
    assert.equal(await next(guest), 'typed');
  }
});

test('a token that is wrong, expired, or of a server that is gone or has no console opens nothing', async () => {
  await using proxy = await consoleHarness();
  const id = await proxy.addServer();
  const token = await proxy.token(id);
  const status = async (which: string) => {
    const answer = await proxy.connect(which);
    return 'status' in answer ? answer.status : 101;
  };
  assert.equal(await status('wrong'), 401);
  assert.equal(await status(''), 401);
  assert.equal(await status(`${token}A`), 401);
  const set = (columns: object) => proxy.db.queries.updateTable('servers').set(columns).where('id', '=', id).execute();
  await set({ vm_state: 'stopped' });
  assert.equal(await status(token), 409);
  await set({ vm_state: 'active', host: null });
  assert.equal(await status(token), 409);
  await set({ host: 'host-1', deleted_at: 5 });
  assert.equal(await status(token), 404);
  await set({ deleted_at: null });
  proxy.clock += 1000;
  assert.equal(await status(token), 401);
  assert.equal(proxy.guests.length, 0, 'no guest was touched');
  const fresh = await proxy.token(id);
  proxy.answerWith(() => Promise.reject(notReady()));
  assert.equal(await status(fresh), 409);
  proxy.answerWith(() => Promise.reject(new Error('a defect')));
  assert.equal(await status(fresh), 500);
});

test('a refusal is a bare HTTP answer, and the same address without an upgrade says why', async () => {
  await using proxy = await consoleHarness();
  const { hostname, port } = new URL(proxy.url);
  const socket = connectTcp(Number(port), hostname);
  socket.write('GET /console/ws?token=bad HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n');
  socket.write('Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\nSec-WebSocket-Version: 13\r\n\r\n');
  const chunks = await socket.toArray();
  assert.match(
    Buffer.concat(chunks).toString(),
    /^HTTP\/1\.1 401 Refused\r\nConnection: close\r\nContent-Length: 0\r\n\r\n$/,
  );
  const id = await proxy.addServer({ vm_state: 'stopped' });
  const asked = async (token: string) => {
    const answer = await fetch(`${proxy.url}/console/ws?token=${token}`);
    return [answer.status, await answer.text()] as const;
  };
  assert.equal((await asked('bad'))[0], 401);
  const [status, text] = await asked(await proxy.token(id));
  assert.equal(status, 409);
  assert.match(text, /vm_state stopped/);
  assert.equal((await asked(await proxy.token(await proxy.addServer())))[0], 426);
});

test('pages of other origins get no connection', async () => {
  await using proxy = await consoleHarness();
  const token = await proxy.token(await proxy.addServer());
  for (const origin of ['http://evil.example', 'null', `${proxy.url}0`])
    assert.deepEqual(await proxy.connect(token, { origin }), { status: 403 });
  open(await proxy.connect(token, { origin: proxy.url }));
});

test('what is no handshake is answered as ever', async () => {
  await using proxy = await consoleHarness();
  const { hostname, port } = new URL(proxy.url);
  const ask = async (head: string) => {
    const socket = connectTcp(Number(port), hostname);
    socket.write(`${head}Host: x\r\n\r\n`);
    const [bytes] = await once(socket, 'data');
    socket.destroy();
    return String(bytes);
  };
  const upgrade = 'Connection: Upgrade\r\nUpgrade: ';
  assert.match(await ask(`GET /console/novnc HTTP/1.1\r\n${upgrade}h2c\r\n`), /^HTTP\/1\.1 200/);
  assert.match(await ask(`GET /console/novnc HTTP/1.1\r\n${upgrade}websocket\r\n`), /^HTTP\/1\.1 200/);
  const token = await proxy.token(await proxy.addServer());
  const noKey = await ask(`GET /console/ws?token=${token} HTTP/1.1\r\n${upgrade}websocket\r\n`);
  assert.match(noKey, /^HTTP\/1\.1 400/);
  await ended(proxy.guests[0]);
});

test('the second viewer of a serial line takes it over; a screen has as many as want it', async () => {
  await using proxy = await consoleHarness();
  const id = await proxy.addServer();
  const first = await viewer(proxy, 'serial', id);
  const farewell = closing(first);
  const second = await viewer(proxy, 'serial', id);
  assert.deepEqual(await farewell, { code: 4409, reason: 'Another viewer has taken this console over.' });
  proxy.guests[1]?.write('still here');
  assert.equal(await next(second), 'still here');
  const screens = [await viewer(proxy, 'novnc', id), await viewer(proxy, 'novnc', id)];
  assert.ok([second, ...screens].every(({ readyState }) => readyState === 1));
});

test('of many viewers at once one has the line, and all others are told', async () => {
  await using proxy = await consoleHarness();
  const token = await proxy.token(await proxy.addServer(), 'serial');
  const codes: number[] = [];
  const watched = Array.from({ length: 8 }, async () => {
    const socket = open(await proxy.connect(token));
    socket.once('close', (code) => codes.push(code));
    return socket;
  });
  const sockets = await Promise.all(watched);
  while (codes.length < 7) await delay(5);
  assert.deepEqual(new Set(codes), new Set([4409]));
  const left = sockets.filter(({ readyState }) => readyState === 1);
  assert.equal(left.length, 1);
  proxy.guests.at(-1)?.write('yours');
  assert.equal(await next(left[0] as WebSocket), 'yours');
});

test('when the guest ends, the viewer is told; when the viewer leaves, the guest is let go', async () => {
  await using proxy = await consoleHarness();
  const told = await viewer(proxy);
  const farewell = closing(told);
  proxy.guests[0]?.end('last words');
  assert.equal(await next(told), 'last words');
  assert.equal((await farewell).code, 4410);
  const leaving = await viewer(proxy);
  leaving.close();
  await ended(proxy.guests[1]);
});

test('a viewer that does not read holds the guest up instead of filling our memory', async () => {
  await using proxy = await consoleHarness();
  let produced = 0;
  const chunk = Buffer.alloc(64 * 1024);
  proxy.answerWith(async () => {
    return new Duplex({
      read() {
        produced += chunk.length;
        setImmediate(() => this.push(chunk));
      },
      write: (_chunk, _encoding, done) => done(),
    });
  });
  const socket = await viewer(proxy);
  socket.pause();
  let before = -1;
  while (produced !== before) {
    before = produced;
    await delay(100);
  }
  assert.ok(produced < 32 * 2 ** 20, `${produced} bytes were taken for a viewer that takes none`);
  socket.resume();
  while (produced < before + 8 * 2 ** 20) await delay(10);
  socket.terminate();
});

test('a guest that does not read holds the viewer up', async () => {
  await using proxy = await consoleHarness();
  let taken = 0;
  let release = () => {};
  proxy.answerWith(async () => {
    return new Duplex({
      read() {},
      write(bytes: Buffer, _encoding, done) {
        taken += bytes.length;
        release = done;
      },
    });
  });
  const socket = await viewer(proxy);
  const message = Buffer.alloc(64 * 1024);
  for (let index = 0; index < 1000; index++) socket.send(message);
  while (taken === 0) await delay(5);
  await delay(300);
  assert.equal(taken, message.length, 'one write, not answered');
  assert.ok(socket.bufferedAmount > 16 * 2 ** 20, `${socket.bufferedAmount} wait at the client`);
  const until = performance.now() + 10_000;
  while (taken < 1000 * message.length && performance.now() < until) {
    release();
    await delay(0);
  }
  assert.equal(taken, 1000 * message.length, 'nothing was lost');
});

test('a viewer that is not read for minutes, since the guest reads nothing, is let go', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  await using proxy = await consoleHarness();
  const guest = new Duplex({ read() {}, write() {} });
  proxy.answerWith(async () => guest);
  const socket = await viewer(proxy);
  const farewell = closing(socket);
  socket.send(Buffer.alloc(64 * 1024));
  while (guest.writableLength === 0) await delay(5);
  for (let ping = 0; ping <= 10; ping += 1) t.mock.timers.tick(30_000);
  await delay(50);
  assert.equal(socket.readyState, 1);
  t.mock.timers.tick(30_000);
  assert.equal((await farewell).code, 1006);
  await ended(guest);
});

test('a server has ten viewers at most; the eleventh is told why, and has a place when one leaves', async () => {
  await using proxy = await consoleHarness();
  const id = await proxy.addServer();
  const [screen, line] = [await proxy.token(id), await proxy.token(id, 'serial')];
  const answers = await Promise.all(Array.from({ length: 12 }, () => proxy.connect(screen)));
  const refused = answers.filter((answer) => 'status' in answer);
  assert.deepEqual(refused, [{ status: 409 }, { status: 409 }]);
  assert.deepEqual(await proxy.connect(line), { status: 409 });
  const words = await fetch(`${proxy.url}/console/ws?token=${screen}`);
  assert.equal(words.status, 409);
  assert.match(await words.text(), /has 10 open consoles already/);
  open(await proxy.connect(await proxy.token(await proxy.addServer())));
  proxy.guests[0]?.destroy();
  while ((await fetch(`${proxy.url}/console/ws?token=${line}`)).status === 409) await delay(5);
  const first = open(await proxy.connect(line));
  const farewell = closing(first);
  open(await proxy.connect(line));
  assert.equal((await farewell).code, 4409, 'taken over, which makes none more');
  assert.deepEqual(await proxy.connect(screen), { status: 409 });
  // One that could not be opened takes no place.
  const other = await proxy.addServer();
  proxy.answerWith(() => Promise.reject(notReady()));
  const token = await proxy.token(other);
  for (let attempt = 0; attempt < 11; attempt += 1) assert.deepEqual(await proxy.connect(token), { status: 409 });
  assert.doesNotMatch(await (await fetch(`${proxy.url}/console/ws?token=${token}`)).text(), /open consoles/);
});

test('a message larger than any console needs ends the connection', async () => {
  await using proxy = await consoleHarness();
  const socket = await viewer(proxy);
  const farewell = closing(socket);
  socket.send(Buffer.alloc(2 ** 20 + 1));
  assert.equal((await farewell).code, 1009);
  await ended(proxy.guests[0]);
});

test('at the end everybody is told, and those who do not listen are cut off', async () => {
  const proxy = await consoleHarness();
  const farewell = closing(await viewer(proxy));
  const deaf = await viewer(proxy);
  deaf.pause();
  const begun = performance.now();
  await proxy.server.close();
  assert.ok(performance.now() - begun < 5_000);
  assert.deepEqual(await farewell, { code: 1001, reason: 'The cloud is shutting down.' });
  assert.ok(proxy.guests.every((guest) => guest.destroyed));
  deaf.terminate();
  await proxy.db.close();
});

test('no token reaches the logs', async () => {
  await using proxy = await consoleHarness();
  const id = await proxy.addServer();
  const token = await proxy.token(id);
  open(await proxy.connect(token)).close();
  await fetch(`${proxy.url}/console/ws?token=${token}`);
  await fetch(`${proxy.url}/console/novnc?token=${token}`);
  proxy.answerWith(() => Promise.reject(new Error('a defect')));
  await proxy.connect(token);
  while (!proxy.lines.some((line) => line.includes('console closed'))) await delay(5);
  assert.ok(proxy.lines.some((line) => line.includes('a defect')));
  assert.ok(proxy.lines.every((line) => !line.includes(token)));
});

test('pages and their files: the right types, a strict policy, and nothing that is not on the list', async () => {
  await using proxy = await consoleHarness();
  const get = (path: string) => fetch(proxy.url + path);
  for (const name of ['novnc', 'serial']) {
    const page = await get(`/console/${name}?token=x`);
    const text = await page.text();
    assert.match(page.headers.get('content-type') ?? '', /^text\/html/);
    const policy = page.headers.get('content-security-policy') ?? '';
    assert.match(policy, /default-src 'none'; script-src 'self';/);
    assert.ok(policy.includes(`ws://${new URL(proxy.url).host}`));
    assert.equal(page.headers.get('referrer-policy'), 'no-referrer');
    assert.equal(page.headers.get('cache-control'), 'no-store');
    assert.doesNotMatch(text, /<script>|\son\w+=|style=/, 'nothing inline');
    const wanted = [...text.matchAll(/(?:href|src)="([^"]+)"/g)].map(([, path = '']) => path);
    assert.ok(wanted.length >= 2);
    for (const path of wanted.filter((each) => !each.startsWith('data:')))
      assert.equal((await get(`/console/${path}`)).status, 200, path);
  }
  const types = { 'novnc/core/rfb.js': 'javascript', 'xterm/xterm.mjs': 'javascript', 'xterm/xterm.css': 'css' };
  for (const [path, type] of Object.entries(types)) {
    const answer = await get(`/console/assets/${path}`);
    assert.equal(answer.status, 200);
    assert.ok(answer.headers.get('content-type')?.startsWith(`text/${type}`));
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
    await answer.arrayBuffer();
  }
  const { hostname, port } = new URL(proxy.url);
  for (const path of [
    '../console-service.ts',
    'novnc/../../package.json',
    '..%2f..%2fpackage.json',
    'novnc/package.json',
    '',
    'novnc',
    '__proto__',
  ]) {
    // Not by `fetch`, which would tidy the path up.
    const socket = connectTcp(Number(port), hostname);
    socket.write(`GET /console/assets/${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    const [bytes] = await once(socket, 'data');
    socket.destroy();
    assert.match(String(bytes), /^HTTP\/1\.1 404/, path);
  }
});
