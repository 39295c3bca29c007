/**
 * How the network cards of guests get their other end: what a driver needs of the networks of its host.
 *
 * A QEMU opens the other ends where it runs, and knows nothing of networks; when it has them open they are joined to theirs.
 */
import type { GuestNic } from './driver.ts';

export interface Netdev {
  readonly type: 'user' | 'tap';
  readonly [option: string]: unknown;
}

export interface Joining {
  /** The guest has come from another host as it executed: with connections that nobody here has seen begin. */
  readonly arrived?: boolean;
}

export interface GuestNetwork {
  /** What QEMU is told of the other end (`netdev_add`, without the id): a pure function of the card. */
  netdev(nic: GuestNic): Netdev;
  /** What goes before the name of a QEMU with these cards, so that it runs where their other ends are. */
  enter(nics: readonly GuestNic[]): Promise<readonly string[]>;
  /** Makes the other ends anew, for a QEMU that is about to open them. Repeated: anew. */
  prepare(nics: readonly GuestNic[]): Promise<void>;
  /** QEMU has opened them, and the guest is about to execute here: joins them to their networks. Repeated: nothing. */
  join(nics: readonly GuestNic[], how?: Joining): Promise<void>;
  /** No QEMU has them open any more. Absent: nothing. */
  release(nics: readonly GuestNic[]): Promise<void>;
}

/** QEMU's own network, in which each guest is alone. */
export const USER_NETWORK: GuestNetwork = {
  netdev: () => ({ type: 'user' }),
  enter: async () => [],
  prepare: async () => undefined,
  join: async () => undefined,
  release: async () => undefined,
};
