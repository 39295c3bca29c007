/**
 * What a hash thread does: follows files by their descriptors and hashes what is announced of them.
 *
 * The function is shipped to its thread as text. So it may use nothing but its parameters; in return the thread needs
 * no TypeScript loader (which would cost it more memory than its work) and a bundle stays one file.
 */

export interface HashOrder {
  readonly job: number;
  readonly fd: number;
  /** How many bytes of the file are there by now. */
  readonly upTo: number;
  /** `end`: no more will come; answer with the digest. `drop`: forget the job and say so. */
  readonly next: 'more' | 'end' | 'drop';
}

export interface HashReply {
  readonly job: number;
  /** In hex; null for a dropped job. */
  readonly digest: string | null;
  readonly error?: string;
}

export interface HashWorkerData {
  readonly algorithm: string;
  readonly chunkBytes: number;
}

/** Runs in the thread. Jobs take turns, a few MiB each, so that a large one does not hold up the others. */
export function hashWorker(
  { parentPort, workerData }: typeof import('node:worker_threads'),
  { createHash }: typeof import('node:crypto'),
  { readSync }: typeof import('node:fs'),
): void {
  const { algorithm, chunkBytes } = workerData as HashWorkerData;
  const CHUNKS_PER_TURN = 16;
  const chunk = Buffer.allocUnsafeSlow(chunkBytes);
  const jobs = new Map<
    number,
    { fd: number; hash: import('node:crypto').Hash; at: number; upTo: number; end: boolean }
  >();
  let turning = false;

  const reply = (message: HashReply) => parentPort?.postMessage(message);

  const turn = () => {
    turning = false;
    for (const [id, job] of jobs) {
      try {
        for (let count = 0; count < CHUNKS_PER_TURN && job.at < job.upTo; count += 1) {
          const length = readSync(job.fd, chunk, 0, Math.min(chunkBytes, job.upTo - job.at), job.at);
          if (length === 0) throw new Error('the file is shorter than announced');
          job.hash.update(length === chunkBytes ? chunk : chunk.subarray(0, length));
          job.at += length;
        }
        if (job.at < job.upTo) turning = true;
        else if (job.end) {
          jobs.delete(id);
          reply({ job: id, digest: job.hash.digest('hex') });
        }
      } catch (error) {
        jobs.delete(id);
        reply({ job: id, digest: null, error: String(error) });
      }
    }
    if (turning) setImmediate(turn);
  };

  parentPort?.on('message', (order: HashOrder) => {
    if (order.next === 'drop') {
      jobs.delete(order.job);
      reply({ job: order.job, digest: null });
      return;
    }
    const job = jobs.get(order.job) ?? { fd: order.fd, hash: createHash(algorithm), at: 0, upTo: 0, end: false };
    jobs.set(order.job, job);
    job.upTo = order.upTo;
    job.end = order.next === 'end';
    if (turning) return;
    turning = true;
    setImmediate(turn);
  });
}
