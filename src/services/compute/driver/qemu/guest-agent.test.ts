/** Talking to an agent that may be late, talkative, or not there. The other end is a server of the test. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { GuestAgent } from './guest-agent.ts';

describe('guest agent', () => {
  let root: string;
  let path: string;
  let server: Server;
  let answer: (question: { execute: string; arguments?: { id?: number } }, socket: Socket) => void;

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'micronova-agent-'));
    path = join(root, 'qga.sock');
    server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', (bytes) => {
        for (const line of bytes.toString('latin1').replaceAll('\xff', '').trim().split('\n')) {
          answer(JSON.parse(line), socket);
        }
      });
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
  });

  afterEach(async () => {
    server.close();
    await rm(root, { recursive: true, force: true });
  });

  const delimited = (text: string) => Buffer.concat([Buffer.of(0xff), Buffer.from(`${text}\n`)]);

  test('what was meant for somebody before us is passed over', async () => {
    answer = ({ execute, arguments: args }, socket) => {
      if (execute === 'guest-fsfreeze-status') return void socket.write('{"return": "thawed"}\r\n');
      socket.write('{"error": {"class": "GenericError", "desc": "stray"}}\n{"return": {}}\n');
      socket.write(delimited('{"return": 1}'));
      socket.write(`half of an ans`);
      socket.write(delimited(JSON.stringify({ return: args?.id })));
    };
    const agent = await GuestAgent.connect(path);
    assert.equal(await agent.execute('guest-fsfreeze-status'), 'thawed');
    agent.close();
  });

  test('a refusal carries the words of the agent, and nonsense is a refusal', async () => {
    answer = ({ execute, arguments: args }, socket) => {
      if (execute === 'guest-sync-delimited') socket.write(delimited(JSON.stringify({ return: args?.id })));
      if (execute === 'guest-fsfreeze-freeze') socket.write('{"error": {"desc": "cannot freeze"}}\n');
      if (execute === 'guest-fsfreeze-thaw') socket.write('null\n');
    };
    const agent = await GuestAgent.connect(path);
    await assert.rejects(agent.execute('guest-fsfreeze-freeze'), { code: 'guest_agent', message: /cannot freeze/ });
    await assert.rejects(agent.execute('guest-fsfreeze-thaw'), { code: 'guest_agent' });
    agent.close();
  });

  test('an agent that talks without end is hung up on', async () => {
    let connection: Socket | undefined;
    answer = (_question, socket) => {
      connection = socket;
      socket.write('x'.repeat(200_000));
    };
    const startedAt = Date.now();
    await assert.rejects(GuestAgent.connect(path), { code: 'guest_agent' });
    assert.ok(Date.now() - startedAt < 2_500, 'sooner than by its silence');
    assert.ok(connection);
  });

  test('an agent that is silent, and a guest without a port, are no agents', async () => {
    answer = () => undefined;
    await assert.rejects(GuestAgent.connect(path), { code: 'guest_agent', message: /not answer/ });
    await assert.rejects(GuestAgent.connect(join(root, 'none')), { code: 'guest_agent', message: /no port/ });
  });
});
