/** Files go from one agent to another whole, also over a line that breaks, and to nobody who does not know the key. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import pino from 'pino';
import type { Offer } from '#contracts/offer.ts';
import { ChannelServer } from './channel-server.ts';
import { fetchFiles } from './fetch-file.ts';
import { CHUNK_BYTES } from './wire.ts';

const log = pino({ level: 'silent' });
const never = new AbortController().signal;
const LENGTH = 5 * CHUNK_BYTES + 12_345;

/** A server that offers one file whose third piece is nothing but zeros. */
async function cell(bytesPerSecond = 0) {
  const dir = await mkdtemp(join(tmpdir(), 'micronova-channel-'));
  const server = new ChannelServer({ listen: { host: '127.0.0.1', port: 0 }, bytesPerSecond, log });
  const content = randomBytes(LENGTH);
  content.fill(0, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES);
  await writeFile(join(dir, 'source'), content);
  const offer = await server.offer(new Map([['disk', join(dir, 'source')]]));
  const target = join(dir, 'target');
  let bytes = 0;
  return {
    dir,
    server,
    content,
    offer,
    target,
    bytes: () => bytes,
    fetch: (from: Offer = offer, signal = never) =>
      fetchFiles(from, [{ name: 'disk', sizeBytes: LENGTH, target }], signal, (more) => {
        bytes += more;
      }),
    async [Symbol.asyncDispose]() {
      await server.close();
      await rm(dir, { recursive: true });
    },
  };
}

/** A line to a port that counts what goes back over it, and breaks after so many bytes, a few times. */
async function line(port: number, breaks: { readonly times: number; readonly afterBytes: number }) {
  const sockets = new Set<Socket>();
  let [broken, total] = [0, 0];
  const proxy = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    let passed = 0;
    for (const socket of [near, far]) sockets.add(socket.on('error', () => undefined));
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
    near.pipe(far);
    far.on('data', (data: Buffer) => {
      passed += data.length;
      total += data.length;
      if (broken < breaks.times && passed > breaks.afterBytes) {
        broken += 1;
        near.destroy();
      } else near.write(data);
    });
  });
  await once(proxy.listen(0, '127.0.0.1'), 'listening');
  return {
    port: (proxy.address() as AddressInfo).port,
    broken: () => broken,
    total: () => total,
    [Symbol.dispose]() {
      for (const socket of sockets) socket.destroy();
      proxy.close();
    },
  };
}

test('a file arrives as it was, and its zeros stay a hole', async () => {
  await using made = await cell();
  await made.fetch();
  assert.ok((await readFile(made.target)).equals(made.content));
  const { blocks } = await stat(made.target);
  assert.ok(blocks * 512 <= LENGTH - CHUNK_BYTES + 65_536, `${blocks} blocks`);
  assert.equal(made.bytes(), LENGTH);
});

test('a limit of bytes a second is kept, by all connections together', async () => {
  await using made = await cell(256 * 2 ** 20);
  const began = performance.now();
  await made.fetch();
  // The last piece goes when the ones before it have gone; the zeros cost nothing.
  const before = LENGTH - 2 * CHUNK_BYTES;
  assert.ok(performance.now() - began >= (before / (256 * 2 ** 20)) * 1000 - 1);
  assert.ok((await readFile(made.target)).equals(made.content));
});

test('a small file and then a large one, which takes more connections', async () => {
  await using made = await cell();
  await writeFile(join(made.dir, 'small'), 'small');
  const offered = new Map(['small', 'source'].map((name) => [name, join(made.dir, name)]));
  const wanted = [
    { name: 'small', sizeBytes: 5, target: join(made.dir, 'small.here') },
    { name: 'source', sizeBytes: LENGTH, target: made.target },
  ];
  await fetchFiles(await made.server.offer(offered), wanted, never, () => undefined);
  assert.ok((await readFile(made.target)).equals(made.content));
});

test('a line that breaks in the middle costs only what was on its way', async () => {
  await using made = await cell();
  using broken = await line(made.offer.port, { times: 3, afterBytes: CHUNK_BYTES / 2 });
  await made.fetch({ ...made.offer, port: broken.port });
  assert.equal(broken.broken(), 3);
  assert.ok((await readFile(made.target)).equals(made.content));
});

test('of a file that is half here only the other half comes', async () => {
  await using made = await cell();
  const half = Buffer.concat([made.content.subarray(0, 4 * CHUNK_BYTES), randomBytes(CHUNK_BYTES)]);
  await writeFile(`${made.target}.partial`, half);
  using counted = await line(made.offer.port, { times: 0, afterBytes: 0 });
  await made.fetch({ ...made.offer, port: counted.port });
  assert.ok((await readFile(made.target)).equals(made.content));
  assert.ok(counted.total() < 1.5 * CHUNK_BYTES, `${counted.total()} bytes came`);
});

test('who does not know the key, or comes when the offer is withdrawn, gets nothing', async () => {
  await using made = await cell();
  const wrong = { ...made.offer, key: randomBytes(32).toString('base64') };
  await assert.rejects(made.fetch(wrong), { code: 'serviceUnavailable' });
  const other = await made.server.offer(new Map());
  await assert.rejects(made.fetch({ ...other }), /answered 404/);
  made.server.withdraw(made.offer.id);
  await assert.rejects(made.fetch(), { code: 'serviceUnavailable' });
  await assert.rejects(stat(made.target), { code: 'ENOENT' });
});

test('a fetch that is called off ends, and leaves what it has for the next', async () => {
  await using made = await cell();
  const abort = new AbortController();
  using slow = await line(made.offer.port, { times: 100, afterBytes: CHUNK_BYTES / 2 });
  const fetching = made.fetch({ ...made.offer, port: slow.port }, abort.signal);
  abort.abort(new Error('enough'));
  await assert.rejects(fetching, /enough/);
  await made.fetch();
  assert.ok((await readFile(made.target)).equals(made.content));
});
