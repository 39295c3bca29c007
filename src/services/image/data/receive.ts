/**
 * Takes an upload's bytes off the socket and into the store, at the store's pace.
 *
 * Many small chunks are written in one call, and freed as soon as they are on their way to the disk: otherwise 64 MiB
 * of dead buffers wait for the garbage collector. A hostile header is refused while the rest has not arrived. The
 * request is never destroyed here, so that the client can read why.
 */
import { Socket } from 'node:net';
import { finished, type Readable, Writable } from 'node:stream';
import { CloudError } from '#domain/errors.ts';
import type { IncomingImage } from '../store/image-store.ts';

const BATCH_BYTES = 2 ** 20;

export interface ReceiveOptions {
  readonly maxBytes: number;
  /** Called once, when the first MiB is there; what it throws ends the upload. */
  readonly inspectEarly: () => Promise<unknown>;
}

/** Resolves when the body has ended and everything is in `incoming`. Rejects when the client goes away. */
export function receive(body: Readable, incoming: IncomingImage, options: ReceiveOptions): Promise<void> {
  const sink = sinkTo(incoming, options, freeable(body));
  return new Promise((resolve, reject) => {
    finished(body, { writable: false }, (error) => {
      if (error) sink.destroy(new CloudError('badRequest', { reason: 'The upload broke off.' }, { cause: error }));
    });
    finished(sink, (error) => {
      if (!error) return resolve();
      body.unpipe(sink);
      // What still comes is thrown away, so that the client gets to the answer.
      body.resume();
      reject(error);
    });
    body.pipe(sink);
  });
}

function sinkTo(incoming: IncomingImage, options: ReceiveOptions, mayFree: boolean): Writable {
  let inspected = false;
  let busy: Promise<void> = Promise.resolve();

  const take = async (chunks: readonly Uint8Array[]) => {
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
    if (incoming.sizeBytes + bytes > options.maxBytes)
      throw new CloudError('imageTooLarge', { limit: options.maxBytes });
    await incoming.append(chunks);
    if (mayFree) for (const chunk of chunks) free(chunk);
    if (inspected || incoming.sizeBytes < BATCH_BYTES) return;
    inspected = true;
    await options.inspectEarly();
  };

  return new Writable({
    highWaterMark: BATCH_BYTES,
    writev(chunks, done) {
      busy = take(chunks.map(({ chunk }) => chunk));
      busy.then(() => done(), done);
    },
    destroy(error, done) {
      // The store is still writing: nobody may take the file away under it.
      busy.then(
        () => done(error),
        () => done(error),
      );
    },
  });
}

/** Only what comes from a real socket belongs to nobody else. */
function freeable(body: Readable): boolean {
  return (body as { socket?: unknown }).socket instanceof Socket;
}

/** Gives a chunk's memory back now, where no other chunk shares it. */
function free(chunk: Uint8Array): void {
  const { buffer } = chunk;
  if (buffer instanceof ArrayBuffer && buffer.byteLength === chunk.byteLength) buffer.transfer(0);
}
