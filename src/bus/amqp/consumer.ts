/**
 * One subscription, whatever happens to connections and channels: it is made anew until it is closed.
 *
 * A message is acknowledged when its handler has ended well. One whose handler failed is kept here unacknowledged for a
 * while, so that others are handed out meanwhile and, when all fail, no more than `AT_ONCE` come at a time. Then it is sent
 * anew with the number of its failures, and the old one acknowledged. One whose receiver dies or closes is given back as
 * it was.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Channel, ConsumeMessage } from 'amqplib';
import type { Log } from '#observe/log.ts';
import type { Handle, Subscription } from '../transport.ts';
import { type BackOff, backOff } from './back-off.ts';
import type { Connected, Link } from './link.ts';
import { type Message, untilOf } from './publisher.ts';
import type { Queue } from './topology.ts';

export interface ConsumerOptions {
  readonly link: Link;
  readonly queue: Queue;
  readonly handle: Handle;
  /** How long a message rests after its handler failed, by how often it did. */
  readonly again: BackOff;
  /** After so many in vain a message is given up. */
  readonly deliveries: number;
  /** Sends it once more to the same queue. */
  readonly resend: (message: Message) => Promise<void>;
  /** Keeps a message that is given up. */
  readonly bury: (message: Buffer, failures: number, error: unknown) => Promise<void>;
  readonly log: Log;
}

/** Messages in hand. Many of them may only be waiting, for a step or a hypervisor; heartbeats must be heard beside those. */
export const AT_ONCE = 512;
/** The header with the number of times a handler failed. */
const FAILURES = 'failures';
const RETRY = { firstMs: 100, factor: 2, mostMs: 5_000 };

export class Consumer implements Subscription {
  readonly #options: ConsumerOptions;
  readonly #closing = new AbortController();
  readonly #running: Promise<void>;
  readonly #inHand = new Set<Promise<void>>();
  readonly #begun = Promise.withResolvers<void>();
  #told = '';

  constructor(options: ConsumerOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  /** Resolves when messages come, or the connection is lost before they do. */
  get begun(): Promise<void> {
    return this.#begun.promise;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { link, queue, log } = this.#options;
    const { signal } = this.#closing;
    for (let tries = 1; !signal.aborted; tries++) {
      const connected = await link.up(signal).catch(() => null);
      if (!connected) break;
      try {
        await this.#consume(connected, () => {
          tries = 0;
        });
      } catch (error) {
        const reason = (error as Error).message;
        if (!connected.lost.aborted && reason !== this.#told)
          log.warn({ err: error, queue: queue.name }, 'no messages come from the queue; retrying');
        this.#told = reason;
      }
      this.#begun.resolve();
      if (!signal.aborted && !connected.lost.aborted)
        await delay(backOff(RETRY, Math.max(1, tries)), undefined, { signal }).catch(() => {
          // Closed meanwhile: the loop ends.
        });
    }
    this.#begun.resolve();
    await Promise.all(this.#inHand);
  }

  /** Takes messages until the channel closes, the broker ends it, or this is closed. */
  async #consume({ model, lost }: Connected, onBegun: () => void): Promise<void> {
    const { queue } = this.#options;
    const { signal } = this.#closing;
    const channel = await model.createChannel();
    const ended = Promise.withResolvers<Error | null>();
    let isOpen = true;
    channel.on('error', (error) => ended.resolve(error));
    channel.on('close', () => {
      isOpen = false;
      ended.resolve(new Error('the channel was closed'));
    });
    await channel.assertQueue(queue.name, queue.declare);
    await channel.prefetch(AT_ONCE);
    // Whatever is thrown in it would end the connection.
    const { consumerTag } = await channel.consume(queue.name, (message) => {
      if (!message) ended.resolve(new Error('the queue was removed'));
      else if (!signal.aborted) this.#take(channel, message, lost);
    });
    onBegun();
    this.#told = '';
    this.#begun.resolve();
    const onClosing = () => ended.resolve(null);
    signal.addEventListener('abort', onClosing);
    if (signal.aborted) onClosing();
    const why = await ended.promise;
    signal.removeEventListener('abort', onClosing);
    if (isOpen && !why) await channel.cancel(consumerTag).catch(() => {});
    // What is in hand is finished and acknowledged on this channel; what is not acknowledged then is given back.
    if (isOpen) await Promise.all(this.#inHand);
    if (isOpen) await channel.close().catch(() => {});
    if (why) throw why;
  }

  #take(channel: Channel, message: ConsumeMessage, lost: AbortSignal): void {
    const run = this.#deliver(channel, message, lost)
      .catch(() => {
        // The channel is no more: the broker gives the message to somebody again.
      })
      .finally(() => this.#inHand.delete(run));
    this.#inHand.add(run);
  }

  async #deliver(channel: Channel, message: ConsumeMessage, lost: AbortSignal): Promise<void> {
    try {
      const { fields, properties, content } = message;
      const isAgain = fields.redelivered || properties.headers?.[FAILURES] !== undefined;
      await this.#options.handle(content.toString('utf8'), isAgain);
    } catch (error) {
      // An inbox is its process's own: who asked asks again.
      if (this.#options.queue.isLasting && !(await this.#put(message, error, lost))) {
        channel.nack(message);
        return;
      }
    }
    channel.ack(message);
  }

  /** Answers whether the broker holds a message that failed in another place: later in its queue, or as a dead letter. */
  async #put({ content, properties }: ConsumeMessage, error: unknown, lost: AbortSignal): Promise<boolean> {
    const { bury, resend, again, deliveries } = this.#options;
    const failures = Number(properties.headers?.[FAILURES] ?? 0) + 1;
    const wake = AbortSignal.any([this.#closing.signal, lost]);
    try {
      if (failures >= deliveries) await bury(content, failures, error);
      else {
        await delay(backOff(again, failures), undefined, { signal: wake });
        await resend({ content, until: untilOf(properties.headers), headers: { [FAILURES]: failures } });
      }
      return true;
    } catch {
      // The bus takes nothing now, or this closes: it is given back, but not round and round as fast as that goes.
      await delay(backOff(again, deliveries), undefined, { signal: wake }).catch(() => {});
      return false;
    }
  }
}
