/** A line between two hosts that a test can slow down, stop and cut. */

import { type Duplex, Transform } from 'node:stream';
import { lineOfTwo } from '../join-streams.ts';

/** Called with how much has gone over the line before it goes on; rejects to cut it. */
export type OnBytes = (passed: number) => Promise<unknown> | undefined;

/** A line to `far`; what goes there is counted. */
export function wire(far: Duplex, onBytes: OnBytes): Duplex {
  const [near, middle] = lineOfTwo();
  let passed = 0;
  const meter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      passed += chunk.length;
      Promise.resolve(onBytes(passed)).then(
        () => done(null, chunk),
        (error: Error) => done(error),
      );
    },
  });
  for (const each of [near, middle, far]) each.on('error', () => undefined);
  middle.pipe(meter).pipe(far).pipe(middle);
  meter.once('error', () => middle.destroy());
  middle.once('close', () => far.destroy());
  // One that ended is told by its end.
  far.once('close', () => {
    if (!far.readableEnded) middle.destroy();
  });
  return near;
}
