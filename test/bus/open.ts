/** A transport to a test's broker, with what it logged and gave up, and a look into the broker beside it. */
import { type ChannelModel, connect } from 'amqplib';
import pino from 'pino';
import { type AmqpOptions, type AmqpTransport, amqpTransport } from '../../src/bus/amqp/transport.ts';

export interface Opened extends AsyncDisposable {
  readonly transport: AmqpTransport;
  /** What it logged: `warn: …`. */
  readonly lines: readonly string[];
  readonly given: readonly { readonly topic: string; readonly error: unknown }[];
}

/** Does not wait for the broker. */
export function openTransport(url: string, more: Partial<AmqpOptions> = {}): Opened {
  const lines: string[] = [];
  const given: { topic: string; error: unknown }[] = [];
  const log = pino(
    { base: null, timestamp: false, formatters: { level: (label) => ({ level: label }) } },
    {
      write(line: string) {
        const { level, msg } = JSON.parse(line) as { level: string; msg: string };
        lines.push(`${level}: ${msg}`);
      },
    },
  );
  const onPoison = (topic: string, error: unknown) => given.push({ topic, error });
  const transport = amqpTransport({ url, name: 'micronova test', log, onPoison, ...more });
  return { transport, lines, given, [Symbol.asyncDispose]: () => transport.close() };
}

/** What the broker has, seen by another client. */
export class Look implements AsyncDisposable {
  readonly #model: ChannelModel;

  private constructor(model: ChannelModel) {
    this.#model = model;
  }

  static async into(url: string): Promise<Look> {
    const model = await connect(url);
    // The broker is stopped under it.
    model.on('error', () => {});
    return new Look(model);
  }

  /** How many messages wait; null: there is no such queue. */
  async waiting(queue: string): Promise<number | null> {
    const channel = await this.#model.createChannel();
    channel.on('error', () => {});
    try {
      const { messageCount } = await channel.checkQueue(queue);
      await channel.close();
      return messageCount;
    } catch (error) {
      if (/NOT_FOUND/.test(String(error))) return null;
      throw error;
    }
  }

  /** Takes one out. */
  async take(queue: string): Promise<{ readonly text: string; readonly headers: Record<string, unknown> } | null> {
    const channel = await this.#model.createChannel();
    const message = await channel.get(queue, { noAck: true });
    await channel.close();
    return message ? { text: message.content.toString(), headers: message.properties.headers ?? {} } : null;
  }

  async remove(queue: string): Promise<void> {
    const channel = await this.#model.createChannel();
    await channel.deleteQueue(queue);
    await channel.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#model.close().catch(() => {});
  }
}
