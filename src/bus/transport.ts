/**
 * The bus port: moving text between processes, at least once.
 *
 * Implementations: `memory.ts` (one process) and RabbitMQ later; both pass `conformance.ts`. What a message means is
 * the business of `rpc.ts`, which is the same over every transport.
 */

export interface Subscription {
  /** No message is handed over afterwards; those in hand are finished first. */
  close(): Promise<void>;
}

export interface Transport {
  /**
   * Resolves when the message is held safely. A topic without a subscriber keeps it until one comes.
   * May deliver it more than once, and in any order.
   */
  publish(topic: string, message: string): Promise<void>;
  /** Hands each message to one of the topic's subscribers; a handler that throws gets it again later. */
  subscribe(topic: string, handle: (message: string) => Promise<void>): Promise<Subscription>;
  close(): Promise<void>;
}
