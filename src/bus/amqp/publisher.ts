/** Sends over one connection. A message counts as sent when the broker has confirmed it; many may be on their way. */
import type { ConfirmChannel, Options } from 'amqplib';
import { CloudError } from '#domain/errors.ts';
import type { Connected } from './link.ts';
import type { Queue } from './topology.ts';

/** A broker that is alive confirms within milliseconds. */
const CONFIRM_MS = 30_000;
/** More are refused: they would fill this process's memory when the broker is slow. */
const MOST_ON_THEIR_WAY = 20_000;

/** The header with the epoch ms after which nobody wants a message; what AMQP has for it counts from its sending. */
const UNTIL = 'until';

export interface Message {
  readonly content: Buffer;
  /** Epoch ms. */
  readonly until?: number | undefined;
  readonly headers?: Readonly<Record<string, unknown>>;
}

export class Publisher {
  readonly #connected: Connected;
  readonly #unavailable: (cause?: unknown) => CloudError;
  readonly #declared = new Map<string, Promise<void>>();
  readonly #returned = new Set<string>();
  #channel: Promise<ConfirmChannel> | undefined;
  #blocked: string | undefined;
  #onTheirWay = 0;
  #sent = 0;

  /** `unavailable` says why a message that was not confirmed was not. */
  constructor(connected: Connected, unavailable: (cause?: unknown) => CloudError) {
    this.#connected = connected;
    this.#unavailable = unavailable;
    connected.model.on('blocked', (reason) => {
      this.#blocked = reason;
    });
    connected.model.on('unblocked', () => {
      this.#blocked = undefined;
    });
  }

  /** Resolves when the broker holds the message; a lasting queue is made when there is none. */
  async publish(queue: Queue, message: Message): Promise<void> {
    if (this.#blocked !== undefined) throw refused(`it takes no messages (${this.#blocked})`);
    if (this.#onTheirWay >= MOST_ON_THEIR_WAY) throw refused(`${MOST_ON_THEIR_WAY} messages wait to be confirmed`);
    this.#onTheirWay++;
    const { promise: late, reject } = Promise.withResolvers<never>();
    // A queue may be without a leader, or the broker without memory or disk, and nothing says so.
    const timer = setTimeout(() => {
      this.#declared.delete(queue.name);
      reject(refused(`it did not confirm within ${CONFIRM_MS / 1000} s`));
    }, CONFIRM_MS);
    try {
      await Promise.race([this.#place(queue, message), late]);
    } finally {
      clearTimeout(timer);
      this.#onTheirWay--;
    }
  }

  async #place(queue: Queue, message: Message): Promise<void> {
    if (!queue.isLasting) {
      await this.#send(queue, message);
      return;
    }
    // The second time is for a queue that somebody has removed since it was declared.
    for (const _ of [1, 2]) {
      await this.#declare(queue);
      if (await this.#send(queue, message)) return;
      this.#declared.delete(queue.name);
    }
    throw refused(`it has no queue ${queue.name}`);
  }

  #declare(queue: Queue): Promise<void> {
    const known = this.#declared.get(queue.name);
    if (known) return known;
    const declared = declare(this.#connected, queue).catch((error: unknown) => {
      this.#declared.delete(queue.name);
      throw this.#connected.lost.aborted ? this.#unavailable(error) : refused((error as Error).message, error);
    });
    this.#declared.set(queue.name, declared);
    return declared;
  }

  /** Answers whether there was a queue. */
  async #send(queue: Queue, { content, until, headers }: Message): Promise<boolean> {
    const channel = await this.#open();
    const messageId = `${this.#sent++}`;
    const options: Options.Publish = {
      messageId,
      contentType: 'application/json',
      persistent: queue.isLasting,
      mandatory: queue.isLasting,
      headers: { ...headers, ...(until !== undefined && { [UNTIL]: until }) },
      // At least a moment: what expires at once would never come to anybody who waits for it.
      ...(until !== undefined && { expiration: Math.max(100, Math.ceil(until - Date.now())) }),
    };
    return new Promise((resolve, reject) => {
      const onConfirm = (error: unknown) => {
        const wasReturned = this.#returned.delete(messageId);
        if (!error) resolve(!wasReturned);
        else if (this.#connected.lost.aborted || isClosed(error)) reject(this.#unavailable(error));
        else reject(refused(`the queue ${queue.name} is full`, error));
      };
      try {
        channel.publish('', queue.name, content, options, onConfirm);
      } catch (error) {
        reject(this.#unavailable(error));
      }
    });
  }

  /** The channel of the confirms; another one when that was closed. */
  #open(): Promise<ConfirmChannel> {
    if (this.#channel) return this.#channel;
    const opened = this.#connected.model.createConfirmChannel().then((channel) => {
      channel.on('error', () => {});
      channel.on('close', forget);
      channel.on('return', ({ properties }) => this.#returned.add(properties.messageId));
      return channel;
    });
    const forget = () => {
      if (this.#channel === opened) this.#channel = undefined;
    };
    this.#channel = opened;
    return opened.catch((error: unknown) => {
      forget();
      throw this.#unavailable(error);
    });
  }
}

/** Until when a message that came is wanted. */
export function untilOf(headers: Readonly<Record<string, unknown>> | undefined): number | undefined {
  const until = headers?.[UNTIL];
  return typeof until === 'number' ? until : undefined;
}

/** Makes the queue if there is none. On a channel of its own, which is all that a refusal closes. */
async function declare({ model }: Connected, queue: Queue): Promise<void> {
  const channel = await model.createChannel();
  channel.on('error', () => {});
  await channel.assertQueue(queue.name, queue.declare);
  await channel.close();
}

function isClosed(error: unknown): boolean {
  return error instanceof Error && /closed/i.test(error.message);
}

function refused(why: string, cause?: unknown): CloudError {
  return new CloudError('serviceUnavailable', { reason: `RabbitMQ did not take a message: ${why}` }, { cause });
}
