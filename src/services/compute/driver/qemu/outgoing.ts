/**
 * The sockets by which QEMU sends a guest to another host. It has no network: it connects to us, in the guest's folder, and each of
 * its connections is joined with a stream that leads to the other side.
 */

import { once } from 'node:events';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import type { MoveStream } from '../driver.ts';
import { unlinkIfThere } from '../guest-files.ts';
import { joinStreams } from '../join-streams.ts';
import { FILES } from './argv.ts';
import type { RunAs } from './run-as.ts';
import { type Listening, listenUnix } from './unix-socket.ts';

const SOCKETS: Readonly<Record<MoveStream, string>> = { memory: FILES.outgoing, disks: FILES.outgoingDisks };

/** How they are opened. */
export interface OutgoingOptions {
  readonly dir: string;
  /** Whom QEMU runs as. */
  readonly user: RunAs | null;
  /** Opens a stream that leads to the other side. */
  readonly open: (stream: MoveStream) => Promise<Duplex>;
  /** Told when a stream breaks. */
  readonly onBroken: (error: unknown) => void;
}

/** See the head of this file. */
export class Outgoing {
  readonly #options: OutgoingOptions;
  readonly #listening: Listening[] = [];
  readonly #streams = new Set<Duplex>();
  readonly #joined: Promise<void>[] = [];
  /** Streams that are open and nobody has come for. */
  readonly #ready: Record<MoveStream, Duplex[]> = { memory: [], disks: [] };
  #destroyed = false;

  private constructor(options: OutgoingOptions) {
    this.#options = options;
  }

  /** Listens, replacing sockets that a killed predecessor left. */
  static async listen(options: OutgoingOptions): Promise<Outgoing> {
    const outgoing = new Outgoing(options);
    try {
      for (const stream of ['memory', 'disks'] as const) {
        const path = join(options.dir, SOCKETS[stream]);
        const accept = (socket: Socket) => outgoing.#accept(stream, socket);
        outgoing.#listening.push(await listenUnix(path, options.user, accept));
      }
      return outgoing;
    } catch (error) {
      await outgoing.close();
      throw error;
    }
  }

  /**
   * Opens the stream for QEMU's next connection. For disks it waits until the server at the other end greets: QEMU stands still,
   * with its guest, from its connecting until that is over.
   */
  async prepare(stream: MoveStream, signal: AbortSignal): Promise<void> {
    const opening = this.#options.open(stream).then((far) => this.#watched(far));
    const over = new AbortController();
    const or = { signal: over.signal };
    const ended = once(signal, 'abort', or).then(() => Promise.reject(signal.reason));
    ended.catch(() => undefined); // nobody may be waiting for it
    try {
      signal.throwIfAborted();
      const far = await Promise.race([opening, ended]);
      if (stream === 'disks') {
        const closed = once(far, 'close', or).then(() => Promise.reject(new Error('the other side hung up')));
        await Promise.race([once(far, 'readable', or), closed, ended]);
      }
      this.#ready[stream].push(far);
    } finally {
      opening.catch(() => undefined);
      over.abort();
    }
  }

  /** Breaks all connections. */
  destroy(): void {
    this.#destroyed = true;
    for (const stream of this.#streams) stream.destroy();
  }

  /** Ends everything; no socket is left. */
  async close(): Promise<void> {
    this.destroy();
    await Promise.all(this.#listening.map((each) => each.close()));
    await Promise.allSettled(this.#joined);
  }

  #accept(stream: MoveStream, near: Socket): void {
    this.#watched(near);
    const far = this.#ready[stream].shift();
    if (!far) {
      near.destroy(); // nobody of ours was to connect now
      return;
    }
    const joined = this.#join(near, far);
    joined.catch(() => undefined); // nobody may ask for it any more
    this.#joined.push(joined);
  }

  async #join(near: Duplex, far: Duplex): Promise<void> {
    try {
      await joinStreams(near, far);
    } catch (error) {
      this.#options.onBroken(error);
      throw error;
    }
  }

  #watched(stream: Duplex): Duplex {
    stream.on('error', () => undefined); // who reads from it hears of it, too
    this.#streams.add(stream);
    stream.once('close', () => this.#streams.delete(stream));
    if (this.#destroyed) stream.destroy();
    return stream;
  }
}

/** Removes what a killed predecessor left. */
export async function removeOutgoing(dir: string): Promise<void> {
  for (const name of Object.values(SOCKETS)) await unlinkIfThere(join(dir, name));
}
