/** What queues do: give messages back, bury poison, drop what is too late, refuse what is too much. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { AT_ONCE } from '#bus/amqp/consumer.ts';
import { Broker } from '#local/rabbitmq.ts';
import { eventually } from '../eventually.ts';
import { Look, openTransport } from './open.ts';

const broker = await Broker.start();
after(() => broker[Symbol.asyncDispose]());

const soon = { again: { firstMs: 5, factor: 1, mostMs: 5 } };

describe('queues of RabbitMQ', { timeout: 60_000 }, () => {
  test('a message that no handler can take becomes a dead letter, once, and the others are handled', async () => {
    const url = await broker.vhost();
    await using bus = openTransport(url, soon);
    await bus.transport.ready();
    let tries = 0;
    const handled: string[] = [];
    await bus.transport.subscribe('conductor', async (message) => {
      if (message !== 'poison') {
        handled.push(message);
        return;
      }
      tries += 1;
      throw new Error('cannot take this');
    });
    await bus.transport.publish('conductor', 'poison');
    await bus.transport.publish('conductor', 'good');
    await eventually('it is given up', async () => bus.given.length > 0);
    await using look = await Look.into(url);
    await eventually('it is acknowledged', async () => (await look.waiting('conductor')) === 0);
    const letter = await look.take('dead.conductor');
    assert.equal(letter?.text, 'poison');
    assert.deepEqual(
      { ...letter?.headers, at: 'then' },
      { topic: 'conductor', failures: 6, reason: 'cannot take this', at: 'then' },
    );
    assert.equal(await look.take('dead.conductor'), null);
    assert.deepEqual([tries, handled, bus.given.map(({ topic }) => topic)], [6, ['good'], ['conductor']]);
  });

  test('what nobody wants any more is dropped by the broker, and is no dead letter', async () => {
    const url = await broker.vhost();
    await using bus = openTransport(url);
    await bus.transport.ready();
    await bus.transport.publish('compute.gone', 'in time', { until: Date.now() + 200 });
    await using look = await Look.into(url);
    assert.equal(await look.waiting('compute.gone'), 1);
    await eventually('it is dropped', async () => (await look.waiting('compute.gone')) === 0);
    assert.equal(await look.waiting('dead.compute.gone'), null);
  });

  test('a full queue refuses, and takes messages again when there is room', async () => {
    const url = await broker.vhost();
    await using bus = openTransport(url, { queued: 10 });
    await bus.transport.ready();
    const sent = await Promise.allSettled(Array.from({ length: 200 }, () => bus.transport.publish('conductor', 'm')));
    const refusals = sent.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []));
    assert.ok(refusals.length > 0 && refusals.length < 200, `${refusals.length} refused`);
    assert.match(refusals[0].message, /the queue conductor is full/);
    let handled = 0;
    await bus.transport.subscribe('conductor', async () => {
      handled += 1;
    });
    await eventually('what was taken is handled', async () => handled === 200 - refusals.length);
    await eventually('there is room', () =>
      bus.transport.publish('conductor', 'm').then(
        () => true,
        () => false,
      ),
    );
  });

  test('a queue that somebody removes is made again, by its senders and by its receivers', async () => {
    const url = await broker.vhost();
    await using bus = openTransport(url);
    await bus.transport.ready();
    await using look = await Look.into(url);
    await bus.transport.publish('conductor', 'lost with its queue');
    await look.remove('conductor');
    await bus.transport.publish('conductor', 'kept');
    assert.equal(await look.waiting('conductor'), 1);
    const got: string[] = [];
    await bus.transport.subscribe('conductor', async (message) => {
      got.push(message);
    });
    await eventually('it comes', async () => got.length === 1);
    await look.remove('conductor');
    await bus.transport.publish('conductor', 'again');
    await eventually('messages come again', async () => got.includes('again'));
  });

  test('what is sent to an inbox that is gone is dropped; an inbox goes with its process', async () => {
    const url = await broker.vhost();
    await using sender = openTransport(url);
    const receiver = openTransport(url);
    await Promise.all([sender.transport.ready(), receiver.transport.ready()]);
    await receiver.transport.subscribe('reply.there', async () => {});
    await using look = await Look.into(url);
    assert.equal(await look.waiting('reply.there').catch((error) => /LOCKED/.test(error)), true, 'it is its own');
    await receiver.transport.close();
    await eventually('it is gone', async () => (await look.waiting('reply.there')) === null);
    await sender.transport.publish('reply.there', 'nobody hears');
    assert.equal(await look.waiting('reply.there'), null);
  });

  test('a message that is too large is refused here, and harms nothing', async () => {
    await using bus = openTransport(await broker.vhost());
    await bus.transport.ready();
    await assert.rejects(bus.transport.publish('conductor', 'x'.repeat(16 * 2 ** 20 + 1)), { code: 'tooLarge' });
    await bus.transport.publish('conductor', 'x'.repeat(16 * 2 ** 20));
    const got = Promise.withResolvers<number>();
    await bus.transport.subscribe('conductor', async ({ length }) => got.resolve(length));
    assert.equal(await got.promise, 16 * 2 ** 20);
  });

  test('no more messages are in hand at once than one process can do', async () => {
    await using bus = openTransport(await broker.vhost());
    await bus.transport.ready();
    const go = Promise.withResolvers<void>();
    let begun = 0;
    await bus.transport.subscribe('conductor', async () => {
      begun += 1;
      await go.promise;
    });
    await Promise.all(Array.from({ length: AT_ONCE + 36 }, () => bus.transport.publish('conductor', 'm')));
    await eventually('it is busy', async () => begun === AT_ONCE);
    const other = Promise.withResolvers<void>();
    await bus.transport.subscribe('scheduler', async () => other.resolve());
    await bus.transport.publish('scheduler', 'after them');
    await other.promise;
    assert.equal(begun, AT_ONCE);
    go.resolve();
    await eventually('all are done', async () => begun === AT_ONCE + 36);
  });

  test('the broker’s list of connections says who they are', async () => {
    await using bus = openTransport(await broker.vhost(), { name: 'micronova compute h1' });
    await bus.transport.ready();
    await eventually('it is listed', async () => (await broker.connectionNames()).includes('micronova compute h1'));
  });
});
