/** The QMP client against a scripted peer: the cases that a healthy QEMU never shows. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { QmpClient } from './client.ts';

const GREETING = `${JSON.stringify({ QMP: { version: {}, capabilities: [] } })}\r\n`;

describe('QMP client', () => {
  let folder: string;
  let path: string;
  let server: Server;
  let peers: Socket[];

  /** Greets, then answers each command with what `answer` returns; null: hangs up; undefined: says nothing. */
  const listen = async (greeting: string, answer: (command: string, id: number) => string | null | undefined) => {
    server = createServer((peer) => {
      peers.push(peer);
      peer.write(greeting);
      peer.setEncoding('utf8').on('error', () => undefined);
      peer.on('data', (text: string) => {
        for (const line of text.trim().split('\n')) {
          const { execute, id } = JSON.parse(line);
          const reply = execute === 'qmp_capabilities' ? `{"return":{},"id":${id}}\n` : answer(execute, id);
          if (reply === null) peer.destroy();
          else if (reply !== undefined) peer.write(reply);
        }
      });
    });
    server.listen(path);
    await once(server, 'listening');
  };

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'micronova-qmp-'));
    path = join(folder, 'qmp.sock');
    peers = [];
  });

  afterEach(async () => {
    for (const peer of peers) peer.destroy();
    if (server?.listening) server.close();
    await rm(folder, { recursive: true, force: true });
  });

  test('answers are matched by id, whatever their order and pieces; events pass by', async () => {
    await listen(GREETING, (command, id) => {
      if (command === 'query-status') return undefined;
      const status = `{"return":{"status":"running","running":true},"id":${id - 1}}\r\n`;
      const whole = `{"event":"RESUME","data":{},"timestamp":{"seconds":1,"microseconds":2}}\r\n{"return":[],"id":${id}}\r\n${status}`;
      for (const letter of whole) peers[0]?.write(letter);
      return undefined;
    });
    const observed: string[] = [];
    const client = await QmpClient.connect(path, { timeoutMs: 5000, observe: (command) => observed.push(command) });
    const events: string[] = [];
    client.onEvent(({ event }) => events.push(event));
    const [status, jobs] = await Promise.all([client.execute('query-status'), client.execute('query-jobs')]);
    assert.equal(status.status, 'running');
    assert.deepEqual(jobs, []);
    assert.deepEqual(events, ['RESUME']);
    assert.deepEqual(observed, ['qmp_capabilities', 'query-jobs', 'query-status']);
    client.close();
  });

  test('"command failed" and "QEMU is gone" are different errors', async () => {
    await listen(GREETING, (command, id) =>
      command === 'quit' ? null : `{"error":{"class":"GenericError","desc":"no such job"},"id":${id}}\n`,
    );
    const client = await QmpClient.connect(path, { timeoutMs: 5000 });
    const failed = client.execute('job-dismiss', { id: 'x' });
    await assert.rejects(failed, { name: 'QmpCommandError', errorClass: 'GenericError', command: 'job-dismiss' });
    await assert.rejects(client.execute('quit'), { name: 'QmpGoneError' });
    await client.closed;
    await assert.rejects(client.execute('query-jobs'), { name: 'QmpGoneError' });
  });

  test('a socket that somebody else holds does not greet: time-out, not a hang', async () => {
    await listen('', () => undefined);
    await assert.rejects(QmpClient.connect(path, { timeoutMs: 50 }), { name: 'QmpTimeoutError' });
  });

  test('QEMU that dies before it greets is gone, and a socket that never comes is a time-out', async () => {
    await assert.rejects(QmpClient.connect(path, { timeoutMs: 50 }), { name: 'QmpTimeoutError' });
    server = createServer((peer) => peer.destroy());
    server.listen(path);
    await once(server, 'listening');
    await assert.rejects(QmpClient.connect(path, { timeoutMs: 5000 }), { name: 'QmpGoneError' });
  });

  test('a peer that does not speak JSON ends the connection', async () => {
    await listen(GREETING, () => 'what?\n');
    const client = await QmpClient.connect(path, { timeoutMs: 5000 });
    await assert.rejects(client.execute('query-jobs'), { name: 'QmpGoneError' });
  });
});
