/**
 * The transport of many processes: RabbitMQ 3.10 or newer.
 *
 * It keeps its connection for ever; while that is cut, publishing fails at once and subscriptions wait. Nothing that was
 * confirmed is lost with a connection, a process or a restart of the broker; it may be delivered again.
 */
import { CloudError } from '#domain/errors.ts';
import type { Log } from '#observe/log.ts';
import type { Transport } from '../transport.ts';
import { type AddressOptions, addressOf } from './address.ts';
import type { BackOff } from './back-off.ts';
import { Consumer } from './consumer.ts';
import { Link } from './link.ts';
import { type Message, Publisher } from './publisher.ts';
import { deadLettersOf, type Queue, queueOf } from './topology.ts';

export interface AmqpOptions extends AddressOptions {
  /** Who this is, in the broker's list of connections. */
  readonly name: string;
  readonly log: Log;
  /** Told of a message that failed every delivery and is now a dead letter. */
  readonly onPoison: (topic: string, error: unknown) => void;
  /** Messages that wait in one queue before more are refused. */
  readonly queued?: number;
  readonly queues?: 'classic' | 'quorum';
  /** How long a message rests after its handler failed. */
  readonly again?: BackOff;
}

export interface AmqpTransport extends Transport {
  /** Resolves when the broker is there. Rejects with the reason of the signal, or when the transport is closed. */
  ready(signal?: AbortSignal): Promise<void>;
}

const MAX_QUEUED = 100_000;
const MAX_BYTES = 16 * 2 ** 20;
/** All of them within some 3 s: a message whose deadline passed is not tried again. */
const DELIVERIES = 6;
const AGAIN: BackOff = { firstMs: 30, factor: 3, mostMs: 5_000 };
const REASON_CHARS = 2_000;

/** Begins to connect at once. Throws `badRequest` when the address is none. */
export function amqpTransport(options: AmqpOptions): AmqpTransport {
  const { name, log, onPoison, queued = MAX_QUEUED, queues = 'classic', again = AGAIN } = options;
  const queueFor = (topic: string) => queueOf(topic, { queued, type: queues });
  const link = new Link({ address: addressOf(options), name, log });
  const subscriptions = new Set<Consumer>();
  let last: { readonly of: unknown; readonly publisher: Publisher } | undefined;
  let isClosed = false;

  const send = async (queue: Queue, message: Message) => {
    const connected = link.now;
    if (!connected) throw link.unavailable();
    if (last?.of !== connected)
      last = { of: connected, publisher: new Publisher(connected, (cause) => link.unavailable(cause)) };
    await last.publisher.publish(queue, message);
  };

  const bury = async (topic: string, content: Buffer, failures: number, error: unknown) => {
    const why = error instanceof Error ? error.message : String(error);
    const headers = { topic, failures, reason: why.slice(0, REASON_CHARS), at: new Date().toISOString() };
    await send(deadLettersOf(topic), { content, headers });
    onPoison(topic, error);
  };

  return {
    async ready(signal) {
      await link.up(signal);
    },
    async publish(topic, message, { until } = {}) {
      if (isClosed) throw link.unavailable();
      const content = Buffer.from(message, 'utf8');
      if (content.length > MAX_BYTES)
        throw new CloudError('tooLarge', {
          reason: `a message to ${topic} has ${content.length} bytes, more than the ${MAX_BYTES} that the bus takes`,
        });
      await send(queueFor(topic), { content, until });
    },
    async subscribe(topic, handle) {
      if (isClosed) throw link.unavailable();
      const queue = queueFor(topic);
      const consumer = new Consumer({
        link,
        queue,
        handle,
        again,
        deliveries: DELIVERIES,
        resend: (message) => send(queue, message),
        bury: (message, failures, error) => bury(topic, message, failures, error),
        log,
      });
      subscriptions.add(consumer);
      // While the bus is cut there is nothing to wait for: messages come when it is back.
      if (link.now) await consumer.begun;
      return {
        async close() {
          subscriptions.delete(consumer);
          await consumer.close();
        },
      };
    },
    trouble: () => link.trouble,
    async close() {
      isClosed = true;
      await Promise.all([...subscriptions].map((consumer) => consumer.close()));
      await link.close();
    },
  };
}
