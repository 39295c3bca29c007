/**
 * The transport of a cloud in one process. It behaves as a broker does: messages are text, topics are queues that
 * outlive their subscribers, a failed handler gets its message again. On command it also misbehaves as a network does.
 */
import type { Handle, Subscription, Transport } from './transport.ts';

/** Misbehaviour for tests; each is asked per message. */
export interface TransportFaults {
  readonly drop?: (topic: string, message: string) => boolean;
  readonly duplicate?: (topic: string, message: string) => boolean;
  /** Extra ms before delivery; different delays reorder. */
  readonly delayMs?: (topic: string, message: string) => number;
}

const MAX_QUEUED = 100_000;
const MAX_DELIVERIES = 5;

interface Topic {
  readonly waiting: { readonly message: string; deliveries: number }[];
  readonly handlers: { readonly handle: Handle; busy: Set<Promise<void>> }[];
  next: number;
}

/** `onPoison` is told of a message that failed every delivery and was given up. */
export function memoryTransport(
  faults: TransportFaults = {},
  onPoison: (topic: string, error: unknown) => void = () => {},
): Transport {
  const topics = new Map<string, Topic>();
  const timers = new Set<NodeJS.Timeout>();
  let closed = false;

  const topicOf = (name: string): Topic => {
    let topic = topics.get(name);
    if (!topic) {
      topic = { waiting: [], handlers: [], next: 0 };
      topics.set(name, topic);
    }
    return topic;
  };

  const later = (ms: number, work: () => void) => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      work();
    }, ms);
    timers.add(timer);
  };

  const pump = (name: string, topic: Topic) => {
    while (!closed && topic.handlers.length > 0) {
      const item = topic.waiting.shift();
      if (!item) return;
      const handler = topic.handlers[topic.next++ % topic.handlers.length];
      if (!handler) return;
      item.deliveries++;
      // A new turn of the loop, as with a network: the publisher never runs inside its own publish.
      const run = new Promise<void>((resolve) => setImmediate(resolve))
        .then(() => handler.handle(item.message, item.deliveries > 1))
        .catch((error: unknown) => {
          if (item.deliveries >= MAX_DELIVERIES) {
            onPoison(name, error);
            return;
          }
          later(10 * 2 ** item.deliveries, () => {
            // Looked up again: the queue may have been dropped with its last subscriber meanwhile.
            const now = topicOf(name);
            now.waiting.push(item);
            pump(name, now);
          });
        })
        .finally(() => handler.busy.delete(run));
      handler.busy.add(run);
    }
  };

  const enqueue = (name: string, message: string) => {
    const topic = topicOf(name);
    if (topic.waiting.length >= MAX_QUEUED) throw new Error(`the queue ${name} is full`);
    topic.waiting.push({ message, deliveries: 0 });
    pump(name, topic);
  };

  return {
    async publish(name, message) {
      if (closed) throw new Error('the bus is closed');
      if (faults.drop?.(name, message)) return;
      const copies = faults.duplicate?.(name, message) ? 2 : 1;
      const delay = faults.delayMs?.(name, message) ?? 0;
      for (let copy = 0; copy < copies; copy++) {
        if (delay > 0) later(delay, () => enqueue(name, message));
        else enqueue(name, message);
      }
    },
    async subscribe(name, handle): Promise<Subscription> {
      const topic = topicOf(name);
      const handler = { handle, busy: new Set<Promise<void>>() };
      topic.handlers.push(handler);
      pump(name, topic);
      return {
        async close() {
          topic.handlers.splice(topic.handlers.indexOf(handler), 1);
          await Promise.all(handler.busy);
          if (topic.handlers.length === 0 && topic.waiting.length === 0) topics.delete(name);
        },
      };
    },
    trouble: () => (closed ? 'the bus is closed' : null),
    async close() {
      closed = true;
      for (const timer of timers) clearTimeout(timer);
      timers.clear();
      await Promise.all(
        [...topics.values()].flatMap((topic) => topic.handlers.flatMap((handler) => [...handler.busy])),
      );
    },
  };
}
