/** Joined streams are one line: what one says comes out of the other, and who is gone too early breaks it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { joinStreams, lineOfTwo } from './join-streams.ts';

/** A joined line with its two outer ends; the right one is a socket of the system's, which ends itself when its other side does. */
async function line() {
  const [left, inner] = lineOfTwo();
  const server = createServer();
  const accepted = once(server, 'connection');
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const socket = connect((server.address() as { port: number }).port, '127.0.0.1');
  await once(socket, 'connect');
  const [right] = (await accepted) as [Socket];
  for (const each of [left, inner, socket, right]) each.on('error', () => undefined);
  server.close();
  return { left, right, joined: joinStreams(inner, socket) };
}

test('each end is passed on, whoever is the first', async () => {
  for (const first of ['left', 'right'] as const) {
    const made = await line();
    const second = made[first === 'left' ? 'right' : 'left'];
    const heard = once(second.resume(), 'end');
    made[first].resume().end('last words');
    await heard;
    second.end();
    await made.joined;
  }
});

test('one that is gone while the other still speaks breaks the line', async () => {
  const { left, right, joined } = await line();
  right.destroy();
  await once(left.resume(), 'end');
  left.write('is anybody there?');
  await assert.rejects(joined);
});

test('one that is destroyed breaks the line', async () => {
  const { left, right, joined } = await line();
  const end = once(right.resume(), 'close');
  left.destroy();
  await assert.rejects(joined);
  await end;
});
