/**
 * One connection to a QEMU Machine Protocol socket.
 *
 * Newline-delimited JSON: a greeting, then commands and answers matched by id, with events in between. QEMU serves one
 * client per socket; another one connects but is not greeted until the first leaves, hence the deadline for the greeting.
 * Events sent while nobody is connected are lost, so after connecting the caller asks for the state.
 */

import { AsyncLocalStorage } from 'node:async_hooks';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { errorCode } from '../../guest-files.ts';
import { connectUnix } from '../unix-socket.ts';
import { type QmpCommand, type QmpCommands, type QmpEvent, TIMEOUT_CLASS, TIMEOUT_MS } from './commands.ts';
import { QmpCommandError, QmpGoneError, QmpTimeoutError } from './errors.ts';

/** Told of each command: name, duration in ms, and the message of its failure. */
export type QmpObserver = (command: string, ms: number, error?: string) => void;

/** How to connect. */
export interface QmpConnectOptions {
  /** For socket, greeting and capabilities together. */
  readonly timeoutMs: number;
  readonly observe?: QmpObserver | undefined;
  /** Ends the attempt early, for example because QEMU died. */
  readonly signal?: AbortSignal | undefined;
}

interface Pending {
  readonly command: QmpCommand;
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** Retry interval while QEMU has not opened its socket yet; there is no event for that. */
const CONNECT_RETRY_MS = 2;

/** A connected and negotiated client. */
export class QmpClient {
  /** Resolves when the connection has ended, for whatever reason. Never rejects. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #observe: QmpObserver | undefined;
  readonly #greeting = Promise.withResolvers<void>();
  readonly #pending = new Map<number, Pending>();
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  #lastId = 0;
  #ended = false;
  #chunks: string[] = [];

  private constructor(socket: Socket, observe: QmpObserver | undefined) {
    this.#socket = socket;
    this.#observe = observe;
    this.#greeting.promise.catch(() => undefined); // awaited by connect(), which may have given up already
    const closed = Promise.withResolvers<void>();
    this.closed = closed.promise;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#receive(text));
    socket.on('error', () => undefined); // `close` follows and tells everybody
    socket.once('close', () => {
      this.#end();
      closed.resolve();
    });
  }

  /**
   * Connects, retrying until QEMU has opened the socket, and negotiates (`qmp_capabilities`). Rejects with `QmpGoneError`
   * when QEMU hung up during that, with `QmpTimeoutError` after `timeoutMs`, with the signal's reason when aborted.
   */
  static async connect(path: string, options: QmpConnectOptions): Promise<QmpClient> {
    const deadline = AbortSignal.timeout(options.timeoutMs);
    const stop = options.signal ? AbortSignal.any([deadline, options.signal]) : deadline;
    const failure = () =>
      options.signal?.aborted ? options.signal.reason : new QmpTimeoutError(`No QMP greeting on ${path} in time`);
    const client = new QmpClient(await connectPatiently(path, stop, failure), options.observe);
    const onStop = () => client.#greeting.reject(failure());
    stop.addEventListener('abort', onStop, { once: true });
    try {
      if (stop.aborted) throw failure();
      await client.#greeting.promise;
      await client.execute('qmp_capabilities');
      return client;
    } catch (error) {
      client.close();
      throw error;
    } finally {
      stop.removeEventListener('abort', onStop);
    }
  }

  /** Sends a command and resolves with its answer; rejects with one of the errors of `errors.ts`. */
  execute<C extends QmpCommand>(
    command: C,
    ...[args]: QmpCommands[C]['args'] extends undefined ? [] : [QmpCommands[C]['args']]
  ): Promise<QmpCommands[C]['answer']> {
    const startedAt = performance.now();
    // The answer comes in the context in which the socket was opened; who is told of it is the caller of this command.
    const observe = AsyncLocalStorage.bind((error: Error | null) =>
      this.#observe?.(command, performance.now() - startedAt, error?.message),
    );
    const { promise, resolve, reject } = Promise.withResolvers<QmpCommands[C]['answer']>();
    if (this.#ended) return Promise.reject(new QmpGoneError(`QMP ${command}: QEMU is gone`));
    const id = ++this.#lastId;
    const patienceMs = TIMEOUT_MS[TIMEOUT_CLASS[command]];
    const timer = setTimeout(() => {
      settle(new QmpTimeoutError(`QMP ${command}: no answer within ${patienceMs} ms`));
    }, patienceMs);
    const settle = (error: Error | null, answer?: unknown) => {
      clearTimeout(timer);
      this.#pending.delete(id);
      observe(error);
      if (error) reject(error);
      else resolve(answer as QmpCommands[C]['answer']); // QEMU's promise, written down in commands.ts
    };
    this.#pending.set(id, { command, resolve: (answer) => settle(null, answer), reject: (error) => settle(error) });
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    return promise;
  }

  /** Calls `listener` for every event until the returned function is called. */
  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Hangs up; QEMU runs on. Outstanding commands reject with `QmpGoneError`. */
  close(): void {
    this.#socket.destroy();
  }

  #receive(text: string): void {
    // An answer can be large and come in many pieces: join once per line, not once per piece.
    let rest = text;
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
      this.#chunks.push(rest.slice(0, end));
      rest = rest.slice(end + 1);
      const line = this.#chunks.join('');
      this.#chunks = [];
      if (line.trim() !== '') this.#dispatch(line);
    }
    if (rest !== '') this.#chunks.push(rest);
  }

  #dispatch(line: string): void {
    // The peer is QEMU, not the guest; a line that does not parse is a broken connection, not data to cope with.
    let message: {
      QMP?: unknown;
      event?: string;
      id?: number;
      return?: unknown;
      error?: { class: string; desc: string };
    };
    try {
      message = JSON.parse(line);
    } catch {
      this.#socket.destroy(new QmpGoneError('QMP: the peer does not speak JSON'));
      return;
    }
    if (message.QMP !== undefined) this.#greeting.resolve();
    else if (message.event !== undefined) {
      for (const listener of this.#listeners) listener(message as unknown as QmpEvent);
    } else {
      const pending = this.#pending.get(message.id ?? -1);
      if (message.error) {
        pending?.reject(new QmpCommandError(pending.command, message.error.class, message.error.desc));
      } else pending?.resolve(message.return);
    }
  }

  #end(): void {
    this.#ended = true;
    const gone = (what: string) => new QmpGoneError(`QMP ${what}: QEMU is gone`);
    this.#greeting.reject(gone('greeting'));
    for (const pending of [...this.#pending.values()]) pending.reject(gone(pending.command));
  }
}

async function connectPatiently(path: string, stop: AbortSignal, failure: () => unknown): Promise<Socket> {
  for (;;) {
    try {
      return await connectUnix(path);
    } catch (error) {
      const notYet = errorCode(error) === 'ENOENT' || errorCode(error) === 'ECONNREFUSED';
      if (!notYet) throw error;
    }
    if (stop.aborted) throw failure();
    await delay(CONNECT_RETRY_MS);
  }
}
