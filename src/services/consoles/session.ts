/**
 * One viewer and one guest, bytes in both directions. Whoever reads slowly holds the other side up, so that neither can make
 * this process remember more than a few buffers; when one side ends, the other is told why.
 */
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';

/** Codes beyond the standard's, 4000 plus the HTTP status that comes nearest. */
export const CLOSED = {
  takenOver: { code: 4409, reason: 'Another viewer has taken this console over.' },
  guestEnded: { code: 4410, reason: 'The guest has closed this console: it was stopped or restarted.' },
} as const;

/** What a viewer has not taken yet before the guest has to wait, in bytes. */
const HIGH_WATER = 256 * 1024;

export class Session {
  readonly #stream: Duplex;
  #socket: WebSocket | undefined;
  #isTakenOver = false;

  /** Takes the stream over: it ends with the session. */
  constructor(stream: Duplex) {
    this.#stream = stream;
    // A connection that breaks ends all the same; `close` follows.
    stream.on('error', () => undefined);
    stream.once('close', () => this.#endViewer());
  }

  begin(socket: WebSocket): void {
    this.#socket = socket;
    const stream = this.#stream;
    socket.once('close', () => this.end());
    if (stream.destroyed) {
      this.#endViewer();
      return;
    }
    stream.on('data', (bytes: Buffer) => {
      socket.send(bytes, { binary: true }, () => {
        if (stream.isPaused() && socket.bufferedAmount < HIGH_WATER) stream.resume();
      });
      if (socket.bufferedAmount >= HIGH_WATER) stream.pause();
    });
    stream.once('end', () => stream.destroy());
    socket.on('message', (bytes: Buffer) => {
      if (!stream.writable) return;
      if (!stream.write(bytes)) socket.pause();
    });
    stream.on('drain', () => socket.resume());
  }

  /** Another viewer is about to get the line. */
  takeOver(): void {
    this.#isTakenOver = true;
    this.#endViewer();
    this.end();
  }

  /** Lets go of the guest. */
  end(): void {
    this.#stream.destroy();
  }

  onEnd(listener: () => void): void {
    if (this.#stream.closed) listener();
    else this.#stream.once('close', listener);
  }

  #endViewer(): void {
    const { code, reason } = this.#isTakenOver ? CLOSED.takenOver : CLOSED.guestEnded;
    // Otherwise its answer to the good-bye would not be read.
    this.#socket?.resume();
    this.#socket?.close(code, reason);
  }
}
