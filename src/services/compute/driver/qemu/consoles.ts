/**
 * Connections to the guests' screens and serial lines. QEMU serves one client of a serial line and lets the others wait, so the
 * one before is put off for the next.
 */

import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import type { GuestId } from '../driver.ts';
import { FILES } from './argv.ts';
import { connectUnix } from './unix-socket.ts';

/** All connections now open. */
export class Consoles {
  readonly #open = new Set<Duplex>();
  readonly #serial = new Map<GuestId, Duplex>();

  /** A new one. Rejects with the system's error when no QEMU listens. */
  async open(id: GuestId, dir: string, kind: 'vnc' | 'serial'): Promise<Duplex> {
    const stream = await connectUnix(join(dir, kind === 'vnc' ? FILES.vnc : FILES.serial));
    stream.on('error', () => undefined); // `close` follows; QEMU may end at any time, also before anybody listens
    this.#open.add(stream);
    stream.once('close', () => {
      this.#open.delete(stream);
      if (this.#serial.get(id) === stream) this.#serial.delete(id);
    });
    if (kind === 'serial') {
      this.#serial.get(id)?.destroy();
      this.#serial.set(id, stream);
    }
    return stream;
  }

  /** Ends them all. */
  close(): void {
    for (const stream of this.#open) stream.destroy();
  }
}
