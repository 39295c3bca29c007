/**
 * MD5 and SHA-512 of files while they are written, in two threads, so that neither the event loop nor the writer waits.
 *
 * The threads read the file themselves through the writer's descriptor (from the page cache), which makes the hash one
 * of what is really in the file, and needs no buffers between threads. They start at the first file and end when none
 * has been hashed for a while. A descriptor must stay open until `finish` or `cancel` has settled.
 */
import { HashThread } from './hash-thread.ts';

/** In hex. */
export interface Digests {
  readonly md5: string;
  readonly sha512: string;
}

/** The hashing of one file. */
export interface HashJob {
  /** The first `upTo` bytes of the file are there. */
  announce(upTo: number): void;
  /** The file has `size` bytes; resolves with their hashes. */
  finish(size: number): Promise<Digests>;
  /** Resolves when the descriptor may be closed. Never throws. */
  cancel(): Promise<void>;
}

export interface FileHasher {
  start(fd: number): HashJob;
  /** Ends the threads; jobs under way fail. */
  close(): Promise<void>;
}

/** Starts nothing until the first job. */
export function fileHasher(idleMs = 5000): FileHasher {
  let threads: readonly [HashThread, HashThread] | undefined;
  let idle: NodeJS.Timeout | undefined;
  let running = 0;
  let lastJob = 0;

  const end = async () => {
    const ending = threads;
    threads = undefined;
    await Promise.all((ending ?? []).map((thread) => thread.end()));
  };

  const begin = () => {
    clearTimeout(idle);
    running += 1;
    if (!threads || threads.some((thread) => thread.failed))
      threads = [new HashThread('md5'), new HashThread('sha512')];
    return threads;
  };

  const over = () => {
    running -= 1;
    if (running > 0) return;
    clearTimeout(idle);
    idle = setTimeout(() => void end(), idleMs);
    idle.unref();
  };

  return {
    start(fd) {
      lastJob += 1;
      const job = lastJob;
      const [md5, sha512] = begin();
      return {
        announce(upTo) {
          md5.announce(job, fd, upTo);
          sha512.announce(job, fd, upTo);
        },
        async finish(size) {
          try {
            const results = await Promise.allSettled([
              md5.settle(job, fd, size, 'end'),
              sha512.settle(job, fd, size, 'end'),
            ]);
            const [first, second] = results.map((result) => {
              if (result.status === 'rejected') throw result.reason;
              return result.value ?? '';
            });
            return { md5: first ?? '', sha512: second ?? '' };
          } finally {
            over();
          }
        },
        async cancel() {
          await Promise.allSettled([md5.settle(job, fd, 0, 'drop'), sha512.settle(job, fd, 0, 'drop')]);
          over();
        },
      };
    },
    async close() {
      clearTimeout(idle);
      await end();
    },
  };
}
