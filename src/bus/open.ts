/** The bus that is configured: in this process, or RabbitMQ, which is waited for. */
import type { Log } from '#observe/log.ts';
import { type Meter, NO_METER } from '#observe/metrics.ts';
import { amqpTransport } from './amqp/transport.ts';
import { measured, queueLabel } from './measured.ts';
import { memoryTransport } from './memory.ts';
import type { Transport } from './transport.ts';

export interface BusOptions {
  /** The broker's address; empty: in this process. */
  readonly url: string;
  readonly queues: 'classic' | 'quorum';
  /** Files; empty where there are none. */
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  /** Who this is, for the broker's list of connections. */
  readonly name: string;
  readonly log: Log;
  readonly meter?: Meter;
  /** Ends the waiting; its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
}

/** Resolves when messages can be sent. Throws `badRequest` when the address is none. */
export async function openBus({ url, log, signal, meter = NO_METER, ...options }: BusOptions): Promise<Transport> {
  const onPoison = (topic: string, err: unknown) => {
    log.error({ topic, err }, 'message given up');
    meter.count('micronova_bus_messages_dead_total', { queue: queueLabel(topic) });
  };
  if (url === '') return measured(memoryTransport({}, onPoison), meter);
  const transport = amqpTransport({ ...options, url, log, onPoison });
  try {
    await transport.ready(signal);
  } catch (error) {
    await transport.close();
    throw error;
  }
  return measured(transport, meter);
}
