/**
 * The connection to the broker, kept for as long as the transport lives: when it is lost, another is made, for ever.
 *
 * One line is logged when the bus is lost (another when the reason changes) and one when it is back.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type ChannelModel, connect } from 'amqplib';
import { CloudError } from '#domain/errors.ts';
import type { Log } from '#observe/log.ts';
import type { Address } from './address.ts';
import { backOff } from './back-off.ts';

export interface Connected {
  readonly model: ChannelModel;
  /** Aborted when this connection is no more, with the reason. */
  readonly lost: AbortSignal;
}

const RECONNECT = { firstMs: 200, factor: 2, mostMs: 5_000 };
/** A connection that lived so long was a good one: the next try comes soon. */
const STEADY_MS = 2_000;

export class Link {
  readonly #address: Address;
  readonly #name: string;
  readonly #log: Log;
  readonly #closing = new AbortController();
  readonly #running: Promise<void>;
  #connected: Connected | undefined;
  #came = Promise.withResolvers<Connected>();
  /** Why there is none: the line that was logged. Empty while all is well, and before the first try. */
  #told = '';

  /** `name` is how the broker's own tools show the connection. */
  constructor(options: { readonly address: Address; readonly name: string; readonly log: Log }) {
    this.#address = options.address;
    this.#name = options.name;
    this.#log = options.log;
    this.#running = this.#run();
  }

  /** The connection, if there is one. */
  get now(): Connected | undefined {
    return this.#connected;
  }

  /** Why there is none; null when there is one. */
  get trouble(): string | null {
    if (this.#closing.signal.aborted) return 'The bus is closed.';
    return this.#connected ? null : this.#told || `${this.#address.shown} has not answered yet`;
  }

  /** Why a message cannot be sent now. */
  unavailable(cause?: unknown): CloudError {
    const reason = this.#closing.signal.aborted
      ? 'The bus is closed.'
      : this.#told || `${this.#address.shown}: the connection was lost before the message was confirmed`;
    return new CloudError('serviceUnavailable', { reason }, { cause });
  }

  /** Resolves with the connection as soon as there is one. Rejects with the signal's reason, or when this is closed. */
  async up(signal?: AbortSignal): Promise<Connected> {
    if (this.#connected) return this.#connected;
    const given = AbortSignal.any([this.#closing.signal, ...(signal ? [signal] : [])]);
    given.throwIfAborted();
    const { promise, reject } = Promise.withResolvers<never>();
    const onAbort = () => reject(given.reason);
    given.addEventListener('abort', onAbort);
    try {
      return await Promise.race([this.#came.promise, promise]);
    } finally {
      given.removeEventListener('abort', onAbort);
    }
  }

  async close(): Promise<void> {
    this.#closing.abort(new CloudError('serviceUnavailable', { reason: 'The bus is closed.' }));
    await this.#connected?.model.close().catch(() => {
      // It was lost meanwhile, which is as good.
    });
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    for (let tries = 1; !signal.aborted; tries++) {
      const begun = performance.now();
      const why = await this.#live().catch((error: unknown) => error);
      if (signal.aborted) return;
      const reason = this.#address.explain(why);
      if (reason !== this.#told) this.#log.error(`${reason}; retrying`);
      this.#told = reason;
      if (performance.now() - begun > STEADY_MS) tries = 1;
      await delay(backOff(RECONNECT, tries), undefined, { signal }).catch(() => {
        // Closed meanwhile: the loop ends.
      });
    }
  }

  /** One connection's life. Answers why it ended. */
  async #live(): Promise<unknown> {
    const model = await this.#connect();
    const lost = new AbortController();
    const ended = Promise.withResolvers<unknown>();
    // An error is followed by a close, which says the same; nobody listening to it would end the process.
    model.on('error', () => {});
    model.on('close', (error) => ended.resolve(error ?? new Error('the connection was closed')));
    if (this.#closing.signal.aborted) {
      await model.close().catch(() => {});
      return null;
    }
    if (this.#told) this.#log.info(`${this.#address.shown} is back`);
    this.#told = '';
    this.#connected = { model, lost: lost.signal };
    this.#came.resolve(this.#connected);
    const why = await ended.promise;
    this.#connected = undefined;
    this.#came = Promise.withResolvers();
    lost.abort(why);
    return why;
  }

  async #connect(): Promise<ChannelModel> {
    // Closing ends a try that hangs, and must not cut a connection that says goodbye.
    const trying = new AbortController();
    const { promise: ended, reject } = Promise.withResolvers<never>();
    const onClosing = () => {
      trying.abort();
      reject(this.#closing.signal.reason);
    };
    this.#closing.signal.addEventListener('abort', onClosing);
    const { connect: to, socket } = this.#address;
    const clientProperties = { connection_name: this.#name };
    try {
      return await Promise.race([connect(to, { ...socket, clientProperties, signal: trying.signal } as object), ended]);
    } finally {
      this.#closing.signal.removeEventListener('abort', onClosing);
    }
  }
}
