/**
 * The connections of a server, so that it can end without breaking off a request: those without one are closed, those with one
 * when it has been answered.
 *
 * Node's own way of closing leaves connections open on which nothing was ever asked, and knows no end of the waiting.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** A connection that was just made gets so long to say what it wants. */
const FIRST_REQUEST_MS = 1_000;

interface State {
  asked: boolean;
  /** Requests that are not answered yet. */
  open: number;
}

export class Connections {
  readonly #states = new Map<Socket, State>();
  readonly #answers = new Set<ServerResponse>();
  #isRetiring = false;
  #isEnding = false;
  #onLast: () => void = () => {};

  watch(server: Server): void {
    server.on('connection', (socket: Socket) => {
      this.#states.set(socket, { asked: false, open: 0 });
      socket.once('close', () => this.#forget(socket));
    });
    server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => this.#asked(socket, response));
    // From here on it belongs to others, who end it.
    server.on('upgrade', (request: IncomingMessage) => this.#forget(request.socket));
  }

  /** Requests that are not answered yet. */
  get inFlight(): number {
    return this.#answers.size;
  }

  /** From now on every answer is the last one on its connection, and says so (`connection: close`). */
  retire(): void {
    this.#isRetiring = true;
    for (const response of this.#answers) response.shouldKeepAlive = false;
  }

  /**
   * Resolves when no connection is left: those with a request in hand when it is answered, or after `withinMs`. Nothing new
   * may come meanwhile: the server listens no more.
   */
  async end(withinMs: number): Promise<void> {
    this.retire();
    this.#isEnding = true;
    const last = Promise.withResolvers<void>();
    this.#onLast = last.resolve;
    for (const [socket, state] of this.#states) if (state.asked) this.#endIfIdle(socket, state);
    const first = setTimeout(() => {
      for (const [socket, state] of this.#states) this.#endIfIdle(socket, state);
    }, FIRST_REQUEST_MS);
    const limit = setTimeout(() => {
      for (const socket of this.#states.keys()) socket.destroy();
    }, withinMs);
    if (this.#states.size === 0) last.resolve();
    await last.promise;
    clearTimeout(first);
    clearTimeout(limit);
  }

  #asked(socket: Socket, response: ServerResponse): void {
    const state = this.#states.get(socket);
    if (!state) return;
    state.asked = true;
    state.open += 1;
    this.#answers.add(response);
    if (this.#isRetiring) response.shouldKeepAlive = false;
    response.once('close', () => {
      state.open -= 1;
      this.#answers.delete(response);
      if (this.#isEnding) this.#endIfIdle(socket, state);
    });
  }

  #endIfIdle(socket: Socket, { open }: State): void {
    // Not cut: what was answered last may still be on its way out.
    if (open === 0) socket.destroySoon();
  }

  #forget(socket: Socket): void {
    this.#states.delete(socket);
    if (this.#states.size === 0) this.#onLast();
  }
}
