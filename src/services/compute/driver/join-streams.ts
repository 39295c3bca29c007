/** Lines of streams: two made one, and one with two ends in the same process. */
import { type Duplex, duplexPair } from 'node:stream';
import { finished } from 'node:stream/promises';

/**
 * Carries what comes out of each into the other, no faster than that takes it, until both have ended; an end in one direction
 * is passed on and leaves the other alone. When either breaks, or is gone before it took everything, both are destroyed, and it
 * rejects with the first cause.
 */
export async function joinStreams(one: Duplex, other: Duplex): Promise<void> {
  const ends = [finished(one), finished(other)];
  one.pipe(other).pipe(one);
  endAfter(one, other);
  endAfter(other, one);
  await Promise.all(ends).catch(async (error: unknown) => {
    one.destroy();
    other.destroy();
    await Promise.allSettled(ends);
    throw error;
  });
}

/** A stream whose other side is gone may still end, but has nobody who takes what it says. */
function endAfter(gone: Duplex, left: Duplex): void {
  gone.once('close', () => {
    if (left.readableEnded) return;
    left.on('data', () => left.destroy(new Error('the other side is gone, and did not take everything')));
    left.resume();
  });
}

/** Both ends of a line in this process. One that breaks breaks the other. */
export function lineOfTwo(): [Duplex, Duplex] {
  const ends = duplexPair();
  const [one, other] = ends;
  const breaks = (from: Duplex, to: Duplex) =>
    from.once('close', () => {
      if (!from.readableEnded || !from.writableFinished) to.destroy();
    });
  breaks(one, other);
  breaks(other, one);
  return ends;
}
