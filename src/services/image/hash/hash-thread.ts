/** One thread that computes one kind of hash for any number of files at once. */
import { Worker } from 'node:worker_threads';
import { type HashOrder, type HashReply, type HashWorkerData, hashWorker } from './hash-worker.ts';

const CHUNK_BYTES = 256 * 1024;

interface Waiting {
  readonly resolve: (digest: string | null) => void;
  readonly reject: (error: Error) => void;
}

export class HashThread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #failure: Error | undefined;

  constructor(algorithm: string) {
    const workerData: HashWorkerData = { algorithm, chunkBytes: CHUNK_BYTES };
    const modules = ['worker_threads', 'crypto', 'fs'].map((name) => `require('node:${name}')`);
    this.#worker = new Worker(`(${hashWorker})(${modules})`, { eval: true, workerData, name: algorithm });
    this.#worker.unref();
    this.#worker.on('message', (reply: HashReply) => this.#answer(reply));
    this.#worker.on('error', (error: Error) => this.#fail(error));
    this.#worker.on('exit', () => this.#fail(new Error(`the ${algorithm} thread has ended`)));
  }

  /** True when the thread cannot be used any more. */
  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** Tells it of more bytes; nothing is answered. */
  announce(job: number, fd: number, upTo: number): void {
    this.#worker.postMessage({ job, fd, upTo, next: 'more' } satisfies HashOrder);
  }

  /** Resolves with the digest (null for `drop`) once the thread does not use `fd` any more. */
  settle(job: number, fd: number, upTo: number, next: 'end' | 'drop'): Promise<string | null> {
    if (this.#failure) return Promise.reject(this.#failure);
    const { promise, resolve, reject } = Promise.withResolvers<string | null>();
    if (this.#waiting.size === 0) this.#worker.ref();
    this.#waiting.set(job, { resolve, reject });
    this.#worker.postMessage({ job, fd, upTo, next } satisfies HashOrder);
    return promise;
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #answer(reply: HashReply): void {
    const waiting = this.#waiting.get(reply.job);
    // A job that failed before anybody waited for it fails again when it is settled: its bytes are not there.
    if (!waiting) return;
    this.#waiting.delete(reply.job);
    if (this.#waiting.size === 0) this.#worker.unref();
    if (reply.error === undefined) waiting.resolve(reply.digest);
    else waiting.reject(new Error(reply.error));
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
