/**
 * Which queue a topic has. This is the only place that decides it; why is in docs/adr/019-rabbitmq.md.
 *
 * The arguments of a queue cannot be changed: a broker refuses the declaration of another release. Whoever changes one
 * here gives the queue another name.
 */
import type { Options } from 'amqplib';
import { INBOX } from '../transport.ts';

export interface Queue {
  readonly name: string;
  readonly declare: Options.AssertQueue;
  /** Messages must have a queue to go to and are written to disk. Otherwise they are dropped with their receiver. */
  readonly isLasting: boolean;
}

export interface Wanted {
  /** Messages that wait in one queue; more are refused. */
  readonly queued: number;
  /** `quorum` is for a cluster of brokers: see the decision. */
  readonly type: 'classic' | 'quorum';
}

const DAY_MS = 24 * 3_600_000;
/** A queue that nobody serves and nobody sends to: that of a host that is no more. */
const FORGOTTEN_AFTER_MS = 7 * DAY_MS;
const DEAD_KEPT_MS = 7 * DAY_MS;
const DEAD_KEPT = 10_000;

export function queueOf(topic: string, { queued, type }: Wanted): Queue {
  if (topic.startsWith(INBOX))
    return {
      name: topic,
      isLasting: false,
      declare: { durable: false, exclusive: true, autoDelete: true, arguments: full(queued) },
    };
  return {
    name: topic,
    isLasting: true,
    declare: {
      durable: true,
      arguments: { 'x-queue-type': type, 'x-expires': FORGOTTEN_AFTER_MS, ...full(queued) },
    },
  };
}

/** Where the messages go that could not be handled, for somebody to look at: the newest, for a week. */
export function deadLettersOf(topic: string): Queue {
  return {
    name: `dead.${topic}`,
    isLasting: true,
    declare: {
      durable: true,
      arguments: { 'x-max-length': DEAD_KEPT, 'x-message-ttl': DEAD_KEPT_MS, 'x-expires': 2 * DEAD_KEPT_MS },
    },
  };
}

/** A full queue refuses what comes: its publisher hears of it, which is better than a broker without memory. */
function full(queued: number): object {
  return { 'x-max-length': queued, 'x-overflow': 'reject-publish' };
}
