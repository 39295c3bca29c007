/** The bus while its broker restarts, dies, cuts connections, is not there, or lets nobody in. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { Broker } from '#local/rabbitmq.ts';
import type { Transport } from '../../src/bus/transport.ts';
import { eventually } from '../eventually.ts';
import { Look, openTransport } from './open.ts';

const broker = await Broker.start();
after(() => broker[Symbol.asyncDispose]());

describe('a broker that is lost', { timeout: 120_000 }, () => {
  for (const how of ['stop', 'kill'] as const) {
    test(`by ${how}, and started again while messages are sent: none that it confirmed is lost`, async () => {
      const url = await broker.vhost();
      await using sender = openTransport(url);
      await using receiver = openTransport(url);
      await Promise.all([sender.transport.ready(), receiver.transport.ready()]);
      const got = new Set<string>();
      await receiver.transport.subscribe('conductor', async (message) => {
        got.add(message);
      });
      const sending = keepSending(sender.transport, 'conductor');
      await eventually('messages flow', async () => got.size > 50);
      await broker[how]();
      await eventually('sending fails', async () => sending.refused > 0);
      await broker.start();
      const before = sending.confirmed.size;
      await eventually('messages flow again', async () => sending.confirmed.size > before + 50);
      await sending.end();
      await eventually('all that was confirmed is there', async () => sending.confirmed.isSubsetOf(got), {
        state: async () => [...sending.confirmed.difference(got)],
      });
      for (const { lines } of [sender, receiver]) {
        assert.match(
          lines[0] ?? '',
          new RegExp(`^error: RabbitMQ at 127.0.0.1:${broker.port} is not reachable: .*retrying$`),
        );
        assert.equal(lines.at(-1), `info: RabbitMQ at 127.0.0.1:${broker.port} is back`);
        assert.equal(lines.filter((line) => line.includes('is back')).length, 1);
      }
    });
  }

  test('that cuts its connections: sending goes on, and what was in hand comes again', async () => {
    const url = await broker.vhost();
    await using bus = openTransport(url);
    await bus.transport.ready();
    let deliveries = 0;
    const go = Promise.withResolvers<void>();
    await bus.transport.subscribe('conductor', async () => {
      deliveries += 1;
      await go.promise;
    });
    const inbox = Promise.withResolvers<string>();
    await bus.transport.subscribe('reply.mine', async (message) => inbox.resolve(message));
    await bus.transport.publish('conductor', 'in hand');
    await eventually('it is in hand', async () => deliveries === 1);
    await eventually('the connection is cut', async () => (await broker.cutConnections()) > 0);
    await eventually('it comes again', async () => deliveries === 2);
    go.resolve();
    await eventually('the inbox is there again', async () => {
      await bus.transport.publish('reply.mine', 'hello').catch(() => {});
      return Promise.race([inbox.promise, null]);
    });
    await bus.transport.publish('conductor', 'another');
    await eventually('another comes', async () => deliveries === 3);
    assert.equal(bus.lines.length, 2, bus.lines.join('\n'));
    await using look = await Look.into(url);
    await eventually('nothing is left', async () => (await look.waiting('conductor')) === 0);
  });

  test('at the start: said once, without the password; what was subscribed meanwhile works when it is there', async () => {
    const url = await broker.vhost();
    await broker.kill();
    await using bus = openTransport(url.replace('guest:guest', 'guest:%67uest'));
    const got = Promise.withResolvers<string>();
    await bus.transport.subscribe('conductor', async (message) => got.resolve(message));
    await eventually('it is said', async () => bus.lines.length > 0);
    await assert.rejects(bus.transport.publish('conductor', 'too early'), {
      code: 'serviceUnavailable',
      message: `RabbitMQ at 127.0.0.1:${broker.port} is not reachable: connect ECONNREFUSED 127.0.0.1:${broker.port}`,
    });
    const abort = new AbortController();
    const waiting = bus.transport.ready(abort.signal);
    abort.abort(new Error('enough'));
    await assert.rejects(waiting, /enough/);
    await broker.start();
    await bus.transport.ready();
    await bus.transport.publish('conductor', 'now');
    assert.equal(await got.promise, 'now');
    assert.equal(bus.lines.length, 2, bus.lines.join('\n'));
  });

  test('closing does not wait for a broker that is away', async () => {
    await using bus = openTransport('amqp://127.0.0.1:1');
    const waiting = assert.rejects(bus.transport.ready(), /closed/);
    await bus.transport.subscribe('conductor', async () => {});
    await bus.transport.close();
    await waiting;
    await assert.rejects(bus.transport.publish('conductor', 'late'), { message: 'The bus is closed.' });
  });

  test('that refuses the password: the line says so, and not which', async () => {
    await using bus = openTransport(broker.url('', { user: 'guest:not-my-secret' }));
    await eventually('it is said', async () => bus.lines.length > 0);
    assert.deepEqual(bus.lines, [
      `error: RabbitMQ at 127.0.0.1:${broker.port} refuses the user guest: wrong name or password; retrying`,
    ]);
  });

  test('that has no memory left: what is sent is refused instead of kept here, and what waited goes when it has', async () => {
    await using bus = openTransport(await broker.vhost());
    await bus.transport.ready();
    await bus.transport.publish('conductor', 'before');
    await broker.control('set_vm_memory_high_watermark', '0.0001');
    const waiting = bus.transport.publish('conductor', 'meanwhile');
    await eventually('it refuses', () =>
      Promise.race([
        bus.transport.publish('conductor', 'refused').catch((error: Error) => /takes no messages/.test(error.message)),
        new Promise<null>((resolve) => setImmediate(resolve, null)),
      ]).then((answer) => answer === true),
    );
    await broker.control('set_vm_memory_high_watermark', '0.8');
    await waiting;
    await bus.transport.publish('conductor', 'after');
  });
});

/** Sends numbered messages, ten at a time, whatever happens, until it is told to end. */
function keepSending(transport: Transport, topic: string) {
  const confirmed = new Set<string>();
  const state = { confirmed, refused: 0, end };
  let isEnding = false;
  let next = 0;
  const lane = async () => {
    while (!isEnding) {
      const message = `${next++}`;
      try {
        await transport.publish(topic, message);
        confirmed.add(message);
      } catch {
        state.refused += 1;
      }
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  };
  const lanes = Array.from({ length: 10 }, lane);
  async function end() {
    isEnding = true;
    // A promise that stays pending would keep a lane, and this test, for ever.
    await Promise.all(lanes);
  }
  return state;
}
