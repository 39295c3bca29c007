/** Screen and serial line of fake guests: they greet as real ones do, and then say back what they are told. */

import { type Duplex, PassThrough } from 'node:stream';
import type { GuestId, GuestSpec } from '../driver.ts';

/** All connections now open. */
export class FakeConsoles {
  readonly #open = new Map<GuestId, Set<Duplex>>();
  readonly #serial = new Map<GuestId, Duplex>();

  /** A new connection. One to the serial line ends the one before. */
  open({ id, name }: GuestSpec, kind: 'vnc' | 'serial'): Duplex {
    const stream = new PassThrough();
    const all = this.#open.get(id) ?? new Set();
    this.#open.set(id, all.add(stream));
    stream.once('close', () => all.delete(stream));
    if (kind === 'serial') {
      this.#serial.get(id)?.destroy();
      this.#serial.set(id, stream);
    }
    stream.write(kind === 'vnc' ? 'RFB 003.008\n' : `fake guest ${name}\r\n`);
    return stream;
  }

  /** What the end of the guest's process does. */
  end(id: GuestId): void {
    for (const stream of this.#open.get(id) ?? []) stream.destroy();
    this.#open.delete(id);
    this.#serial.delete(id);
  }

  endAll(): void {
    for (const id of [...this.#open.keys()]) this.end(id);
  }
}
