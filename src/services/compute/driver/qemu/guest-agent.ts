/**
 * The agent inside a guest, over its port.
 *
 * Nobody knows whether there is one until it answers, and the guest's owner decides what it says: everything that comes is
 * bounded in time and in size, and believed only as far as it matters to that guest. One conversation at a time per guest.
 */

import { randomInt } from 'node:crypto';
import type { Socket } from 'node:net';
import { DriverError } from '../driver-error.ts';
import { connectUnix } from './unix-socket.ts';

/** An agent that has not said a word by then is not there. */
const SYNC_MS = 3_000;
/** Freezing writes out what the guest has not written yet. */
const COMMAND_MS = 30_000;
const MAX_REPLY_BYTES = 64 * 1024;
/** Precedes our question, and an agent's answer to it: no JSON has this byte. */
const DELIMITER = 0xff;

/** Which commands are sent: arguments and answer. */
interface Commands {
  'guest-sync-delimited': { args: { id: number }; answer: number };
  'guest-fsfreeze-status': { args: undefined; answer: string };
  'guest-fsfreeze-freeze': { args: undefined; answer: number };
  'guest-fsfreeze-thaw': { args: undefined; answer: number };
  'guest-set-user-password': { args: { username: string; password: string; crypted: boolean }; answer: object };
}

/** How long somebody has for an agent, whatever single answers may take. */
export interface AgentLimit {
  /** As of `Date.now()`. */
  readonly deadline: number;
  /** Ends the waiting with its reason. */
  readonly signal?: AbortSignal;
}

const UNLIMITED: AgentLimit = { deadline: Infinity };

/** A conversation; close it. */
export class GuestAgent {
  /** Of what is asked from now on. */
  limit: AgentLimit;
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #wake: () => void = () => {};
  #ended = false;

  private constructor(socket: Socket, limit: AgentLimit) {
    this.#socket = socket;
    this.limit = limit;
    socket.on('data', (bytes: Buffer) => {
      this.#received = Buffer.concat([this.#received, bytes]);
      if (this.#received.length > MAX_REPLY_BYTES) socket.destroy();
      this.#wake();
    });
    socket.on('error', () => undefined); // `close` follows
    socket.on('close', () => {
      this.#ended = true;
      this.#wake();
    });
  }

  /** Begins one at the socket `path`. `guest_agent` when no agent answers. */
  static async connect(path: string, limit = UNLIMITED): Promise<GuestAgent> {
    let socket: Socket;
    try {
      socket = await connectUnix(path);
    } catch (cause) {
      throw new DriverError('guest_agent', 'The guest has no port for an agent', { cause });
    }
    const agent = new GuestAgent(socket, limit);
    try {
      await agent.#synchronise();
      return agent;
    } catch (error) {
      agent.close();
      throw error;
    }
  }

  /** Asks and resolves with the answer. `guest_agent` when the agent refuses or falls silent. */
  async execute<C extends keyof Commands>(
    command: C,
    ...[args]: Commands[C]['args'] extends undefined ? [] : [Commands[C]['args']]
  ): Promise<Commands[C]['answer']> {
    this.#received = Buffer.alloc(0);
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    const reply = parse(await this.#line(Date.now() + COMMAND_MS));
    if (reply && 'return' in reply) return reply.return as Commands[C]['answer']; // the callers check what they use
    const why = reply?.error?.desc ?? 'an answer that makes no sense';
    throw new DriverError('guest_agent', `The guest's agent, asked for ${command}: ${String(why).slice(0, 500)}`);
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed;
  }

  close(): void {
    this.#socket.destroy();
  }

  /** An agent may still be answering somebody before us: whatever comes before the answer to this very question is not ours. */
  async #synchronise(): Promise<void> {
    const id = randomInt(2 ** 31);
    const deadline = Date.now() + SYNC_MS;
    const question = JSON.stringify({ execute: 'guest-sync-delimited', arguments: { id } });
    this.#socket.write(Buffer.concat([Buffer.of(DELIMITER), Buffer.from(`${question}\n`)]));
    for (;;) {
      const line = await this.#line(deadline);
      const start = line.lastIndexOf(DELIMITER);
      if (start >= 0 && parse(line.subarray(start + 1))?.return === id) return;
    }
  }

  async #line(deadline: number): Promise<Buffer> {
    for (;;) {
      const end = this.#received.indexOf(0x0a);
      if (end >= 0) {
        const line = this.#received.subarray(0, end);
        this.#received = this.#received.subarray(end + 1);
        return line;
      }
      this.limit.signal?.throwIfAborted();
      const leftMs = Math.min(deadline, this.limit.deadline) - Date.now();
      if (this.#ended || leftMs <= 0) throw new DriverError('guest_agent', "The guest's agent does not answer");
      await this.#more(leftMs);
    }
  }

  async #more(timeoutMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const { signal } = this.limit;
    const onAbort = () => resolve();
    signal?.addEventListener('abort', onAbort, { once: true });
    const timer = setTimeout(resolve, timeoutMs);
    await promise;
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}

function parse(line: Buffer): { return?: unknown; error?: { desc?: unknown } } | null {
  try {
    const reply: unknown = JSON.parse(line.toString('utf8'));
    return typeof reply === 'object' && reply !== null ? reply : null;
  } catch {
    return null; // the guest's own words, to which nothing obliges it
  }
}
