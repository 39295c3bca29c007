/**
 * The bus port: moving text between processes, at least once.
 *
 * Implementations: `memory.ts` (one process) and `amqp/` (RabbitMQ); both pass `conformance.ts`. What a message means is
 * the business of `rpc.ts`, which is the same over every transport.
 */

export interface Subscription {
  /** No message is handed over afterwards; those in hand are finished first. */
  close(): Promise<void>;
}

/** `isAgain`: it came before, here or elsewhere, as far as the bus knows. */
export type Handle = (message: string, isAgain: boolean) => Promise<void>;

export interface PublishOptions {
  /** Epoch ms after which nobody wants the message any more: it may be dropped then. */
  readonly until?: number;
}

export interface Transport {
  /**
   * Resolves when the message is held safely. A topic without a subscriber keeps it until one comes; only an inbox
   * (see `INBOX`) need not. May deliver it more than once, and in any order. Rejects when the bus does not hold it, or
   * may not: who needs it there publishes again.
   */
  publish(topic: string, message: string, options?: PublishOptions): Promise<void>;
  /**
   * Hands each message to one of the topic's subscribers; a handler that throws gets it again later, some times.
   * Resolves when messages come, or will come as soon as the bus is there.
   */
  subscribe(topic: string, handle: Handle): Promise<Subscription>;
  /** Why nothing can be sent at the moment; null when it can. */
  trouble(): string | null;
  close(): Promise<void>;
}

/** How the topics begin that belong to one process and end with it. What is sent to one that is gone is dropped. */
export const INBOX = 'reply.';
