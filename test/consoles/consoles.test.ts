/** Consoles of a real guest through the proxy, as clients without a browser use them. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { test } from 'node:test';
import { createWebSocketStream, WebSocket } from 'ws';
import { type ConsoleWorld, consoleWorld, linkTo, PASSWORD, serialOver, socketOf, statusOf } from './console-world.ts';

const BOOT_MS = 240_000;

test('consoles of a real guest', { timeout: 2 * BOOT_MS }, async (t) => {
  await using world = await consoleWorld();
  await t.test('the serial line: log in, run a command, see what it says', () => serialLine(world));
  await t.test('a second viewer of the serial line takes it over', () => takenOver(world));
  await t.test('the screen: the RFB handshake, and a picture of some size', () => screen(world));
  await t.test('tokens that open nothing', () => refused(world));
  await t.test('stopping the guest closes its consoles, and it has none then', () => stopped(world));
});

async function serialLine({ link }: ConsoleWorld): Promise<void> {
  const { console: line, socket } = serialOver(await link('serial'));
  await line.login(PASSWORD, { timeoutMs: BOOT_MS });
  const { output, code } = await line.run('echo $((6 * 7)); hostname');
  assert.deepEqual([output, code], ['42\nseen\n', 0]);
  const closed = once(socket, 'close');
  line.close();
  await closed;
}

async function takenOver({ link }: ConsoleWorld): Promise<void> {
  const first = new WebSocket(socketOf(await link('serial')), ['binary']);
  await once(first, 'open');
  const farewell = once(first, 'close');
  const second = serialOver(await link('serial'));
  assert.equal((await farewell)[0], 4409);
  assert.equal((await second.console.run('true')).code, 0);
  second.console.close();
}

/** RFC 6143, section 7: version, security type, ClientInit, ServerInit. */
async function screen({ link }: ConsoleWorld): Promise<void> {
  const rfb = createWebSocketStream(new WebSocket(socketOf(await link('novnc')), ['binary']));
  const read = reader(rfb);
  assert.equal(String(await read(12)), 'RFB 003.008\n');
  rfb.write('RFB 003.008\n');
  const [count = 0] = await read(1);
  assert.ok((await read(count)).includes(1), 'security type none');
  rfb.write(Buffer.from([1]));
  assert.equal((await read(4)).readUInt32BE(), 0, 'security ok');
  rfb.write(Buffer.from([1]));
  const init = await read(24);
  assert.ok(init.readUInt16BE(0) >= 640 && init.readUInt16BE(2) >= 400, `${init.readUInt16BE(0)} pixels wide`);
  const name = String(await read(init.readUInt32BE(20)));
  assert.match(name, /QEMU/);
  rfb.destroy();
}

/** Answers the next so many bytes of a stream. */
function reader(stream: Duplex) {
  return async (size: number): Promise<Buffer> => {
    for (;;) {
      const bytes: Buffer | null = stream.read(size);
      if (bytes) return bytes;
      await once(stream, 'readable');
    }
  };
}

async function refused({ cloud, link, launch }: ConsoleWorld): Promise<void> {
  const good = socketOf(await link('novnc'));
  assert.equal(await statusOf(good), 101);
  assert.equal(await statusOf(good, { origin: 'http://elsewhere.example' }), 403);
  const wrong = new URL(good);
  wrong.searchParams.set('token', `bad${good.searchParams.get('token')}`);
  assert.equal(await statusOf(wrong), 401);

  const other = await launch();
  const ofOther = socketOf(await linkTo(cloud, other.id, 'novnc'));
  assert.equal(await statusOf(ofOther), 101);
  await other.delete();
  await other.isGone();
  assert.equal(await statusOf(ofOther), 404);

  await cloud.db.queries.updateTable('console_tokens').set({ expires_at: Date.now() }).execute();
  assert.equal(await statusOf(good), 401);
}

async function stopped({ cloud, server, link }: ConsoleWorld): Promise<void> {
  const novnc = socketOf(await link('novnc'));
  const socket = new WebSocket(novnc, ['binary']);
  await once(socket, 'open');
  const farewell = once(socket, 'close');
  const client = await cloud.as('demo');
  await client.ok('POST', `/compute/v2.1/servers/${server.id}/action`, { json: { 'os-stop': null } });
  const [code, reason] = await farewell;
  assert.equal(code, 4410, String(reason));
  await server.is('SHUTOFF');
  assert.equal(await statusOf(novnc), 409);
  const wanted = { protocol: 'vnc', type: 'novnc' };
  const path = `/compute/v2.1/servers/${server.id}/remote-consoles`;
  assert.equal((await client.request('POST', path, { json: { remote_console: wanted } })).status, 409);
  await server.delete();
  await server.isGone();
}
