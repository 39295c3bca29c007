/** Where a plane stands: on the machine itself, or in a user namespace. */
import type { Server } from 'node:net';

/** Where `ip netns` keeps the names of network namespaces. */
export const SPACES_DIR = '/run/netns';

export interface Base {
  readonly kind: 'rooted' | 'rootless';
  readonly why: string;
  /** What every command begins with. */
  outside(): readonly string[];
  /** Where this process finds the names of its network namespaces: a file for each; there is none before the first. */
  spacesDir(): string;
  /** What QEMU's command line begins with; `guests` is the name of its namespace. */
  enter(guests: string): readonly string[];
  /** User id that may open taps, as it is called there; null: only who made them. */
  readonly tapOwner: number | null;
  /** First and last port of 127.0.0.1 that lead to the same of the base's; null where there is no need. */
  readonly forwarded: readonly [number, number] | null;
  /** All there for commands; what an earlier process has begun is taken over. Again and again: what has died is there again. */
  start(): Promise<void>;
  /** A listening server in the base's network namespace. */
  listen(address: string, port: number): Promise<Server>;
  /** All that `start` has made is gone. */
  stop(): Promise<void>;
}
