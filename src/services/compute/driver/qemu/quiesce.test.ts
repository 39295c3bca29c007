/** Freezing with an agent that may hang at any word. The agent is a server of the test. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { until } from '../conformance.ts';
import { KeyedLock } from '../keyed-lock.ts';
import { throughAgent } from './quiesce.ts';

describe('quiesce', () => {
  let dir: string;
  let server: Server;
  let isFrozen: boolean;
  /** Commands that are heard and not answered. */
  let hangsAt: string[];
  let heard: string[];
  let conversations: number;
  const connections = new Set<Socket>();

  const answer = (execute: string, id: number | undefined): unknown => {
    if (execute === 'guest-sync-delimited') return id;
    if (execute === 'guest-fsfreeze-status') return isFrozen ? 'frozen' : 'thawed';
    isFrozen = execute === 'guest-fsfreeze-freeze';
    return 1;
  };

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'micronova-quiesce-'));
    [isFrozen, hangsAt, heard, conversations] = [false, [], [], 0];
    server = createServer((socket) => {
      conversations += 1;
      connections.add(socket);
      socket.on('error', () => undefined);
      socket.on('data', (bytes) => {
        for (const line of bytes.toString('latin1').replaceAll('\xff', '').trim().split('\n')) {
          const { execute, arguments: args } = JSON.parse(line);
          heard.push(execute);
          if (hangsAt.includes(execute)) continue;
          const reply = `${JSON.stringify({ return: answer(execute, args?.id) })}\n`;
          socket.write(
            Buffer.concat([execute === 'guest-sync-delimited' ? Buffer.of(0xff) : Buffer.of(), Buffer.from(reply)]),
          );
        }
      });
    });
    await new Promise<void>((resolve) => server.listen(join(dir, 'qga.sock'), resolve));
  });

  afterEach(async () => {
    hangsAt = [];
    server.close();
    for (const each of connections) each.destroy();
    await until(async () => !existsSync(join(dir, 'own', 'frozen')), 'nothing is left to thaw');
    await rm(dir, { recursive: true, force: true });
  });

  const quiesce = async (needed: boolean, locks = new KeyedLock(), signal = new AbortController().signal) => {
    const begun = performance.now();
    let during: boolean | undefined;
    const moment = async () => {
      during = isFrozen;
    };
    const onUnthawed = () => undefined;
    const outcome = throughAgent(dir, locks, { needed, onUnthawed })(moment, signal);
    const answer = await outcome.catch((error: unknown) => error);
    return { answer, during, ms: performance.now() - begun };
  };

  test('frozen for the moment, and thawed after it, in one conversation', async () => {
    const { answer, during } = await quiesce(true);
    assert.deepEqual([answer, during, isFrozen, conversations], [true, true, false, 1]);
    assert.ok(!existsSync(join(dir, 'own', 'frozen')));
  });

  test('an agent that hangs, or is busy with somebody else, holds a moment up for ten seconds at most', async () => {
    hangsAt = ['guest-fsfreeze-freeze', 'guest-fsfreeze-status'];
    const busy = new KeyedLock();
    const other = Promise.withResolvers<void>();
    void busy.run(dir, () => other.promise);
    const [hung, late] = await Promise.all([quiesce(false), quiesce(false, busy)]);
    for (const { answer, during, ms } of [hung, late]) {
      assert.deepEqual([answer, during], [false, false]);
      assert.ok(ms < 11_000, `${ms} ms`);
    }
    other.resolve();
    // What it did not do then it does when it answers again.
    isFrozen = true;
    hangsAt = [];
    await until(async () => !isFrozen, 'the guest is thawed');
  });

  test('one who gives up does not wait for a hung agent', async () => {
    hangsAt = ['guest-fsfreeze-freeze', 'guest-fsfreeze-status'];
    const giveUp = new AbortController();
    const ended = quiesce(true, new KeyedLock(), giveUp.signal);
    await until(async () => heard.includes('guest-fsfreeze-freeze'), 'it is asked');
    giveUp.abort(new Error('no more'));
    const { answer, during, ms } = await ended;
    assert.equal((answer as Error).message, 'no more');
    assert.equal(during, undefined);
    assert.ok(ms < 2_000, `${ms} ms`);
    hangsAt = [];
    await until(async () => !existsSync(join(dir, 'own', 'frozen')), 'it is thawed all the same');
  });
});
