/** Streams go from agent to agent both ways, end half by half, wait for the slower side, and belong to their offer. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { test } from 'node:test';
import pino from 'pino';
import type { Offer } from '#contracts/offer.ts';
import { lineOfTwo } from '../driver/join-streams.ts';
import { ChannelServer } from './channel-server.ts';
import { openStream } from './open-stream.ts';

const log = pino({ level: 'silent' });
const never = new AbortController().signal;

/** A server that offers streams, and the near ends of those that were asked for. */
async function cell() {
  const server = new ChannelServer({ listen: { host: '127.0.0.1', port: 0 }, log });
  const opened: { name: string; near: Duplex }[] = [];
  const offer = await server.offerStreams(async (name) => {
    if (name === 'none') throw new Error('there is none');
    const [near, far] = lineOfTwo();
    near.on('error', () => undefined);
    opened.push({ name, near });
    return far;
  });
  const open = async (from: Offer = offer, signal = never) => {
    const far = await openStream(from, 'a b', signal);
    const last = opened.at(-1);
    assert.ok(last);
    return { far, ...last };
  };
  return {
    server,
    offer,
    opened,
    open,
    [Symbol.asyncDispose]: () => server.close(),
  };
}

/** What comes until the end of that half; the other stays as it is. */
async function all(stream: Duplex): Promise<Buffer> {
  const parts: Buffer[] = [];
  stream.on('data', (part: Buffer) => parts.push(part));
  await once(stream, 'end');
  return Buffer.concat(parts);
}

test('bytes go both ways, and each half ends by itself', async () => {
  await using made = await cell();
  const { near, far, name } = await made.open();
  assert.equal(name, 'a b');
  const question = randomBytes(3_000_000);
  far.end(question);
  assert.ok((await all(near)).equals(question), 'the far half ended, and all of it came');
  assert.ok(!near.destroyed && !far.destroyed);
  const answer = randomBytes(3_000_000);
  near.end(answer);
  assert.ok((await all(far)).equals(answer), 'the near half was open still');
});

test('the near half may end first', async () => {
  await using made = await cell();
  const { near, far } = await made.open();
  near.end('answer');
  assert.equal(String(await all(far)), 'answer');
  far.end('question');
  assert.equal(String(await all(near)), 'question');
});

test('who writes waits for who reads', async () => {
  await using made = await cell();
  const { near, far } = await made.open();
  const size = 64 * 2 ** 20;
  const piece = Buffer.alloc(2 ** 20);
  let written = 0;
  const writing = (async () => {
    for (; written < size; written += piece.length) if (!far.write(piece)) await once(far, 'drain');
    far.end();
  })();
  // Once nothing moves any more it has come to a stand by itself.
  for (let before = -1; before !== written; ) {
    before = written;
    for (let turn = 0; turn < 2000; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(written < size / 2, `${written} bytes went before anybody read`);
  assert.equal((await all(near)).length, size);
  await writing;
});

test('an end that breaks is told to the other, be it as an end', async () => {
  await using made = await cell();
  const first = await made.open();
  const farEnd = once(first.far.resume(), 'end');
  first.near.destroy();
  await farEnd;
  const second = await made.open();
  const nearEnd = once(second.near.resume(), 'end');
  second.far.destroy();
  await nearEnd;
});

test('withdrawn, the streams end with their offer, and others go on', async () => {
  await using made = await cell();
  const elsewhere = await made.server.offerStreams(async () => lineOfTwo()[0]);
  const other = await openStream(elsewhere, 'x', never);
  const { near, far } = await made.open();
  const ends = [once(near.resume(), 'close'), once(far.resume(), 'end')];
  made.server.withdraw(made.offer.id);
  await Promise.all(ends);
  await assert.rejects(made.open(), { code: 'serviceUnavailable' });
  assert.ok(!other.destroyed);
});

test('the signal ends a stream, and an opening', async () => {
  await using made = await cell();
  const abort = new AbortController();
  const { near, far } = await made.open(made.offer, abort.signal);
  const ends = [once(near.resume(), 'end'), assert.rejects(once(far, 'close'), /enough/)];
  abort.abort(new Error('enough'));
  await Promise.all(ends);
  await assert.rejects(made.open(made.offer, abort.signal), /enough/);
  const pending = new AbortController();
  const hanging = await made.server.offerStreams(() => {
    pending.abort(new Error('enough of this'));
    return new Promise(() => undefined);
  });
  await assert.rejects(openStream(hanging, 'x', pending.signal), /enough of this/);
});

test('nobody without the key gets a stream, nor anybody one that is not offered', async () => {
  await using made = await cell();
  const wrong = { ...made.offer, key: randomBytes(32).toString('base64') };
  await assert.rejects(made.open(wrong), { code: 'serviceUnavailable' });
  await assert.rejects(openStream(await made.server.offer(new Map()), 'disks', never), /answered 404/);
  await assert.rejects(openStream(made.offer, 'none', never), /answered 502/);
  assert.deepEqual(made.opened, []);
});
