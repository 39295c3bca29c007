/** Where no network can be made: guests have QEMU's user networking, each for itself, and ports and networks are in the record only. */
import type { Server } from 'node:net';
import { NetworkError } from './network-error.ts';
import type { NetworkPlane } from './plane.ts';

export function noPlane(why: string): NetworkPlane {
  const impossible = async (): Promise<never> => {
    throw new NetworkError([`this host has no networks: ${why}`]);
  };
  return {
    kind: 'none',
    why,
    enter: async () => [],
    recover: async () => undefined,
    apply: async () => undefined,
    tapFor: impossible,
    attach: impossible,
    detach: async () => undefined,
    identityOf: () => null,
    metadataServer: () => Promise.withResolvers<Server>().promise,
    conflicts: () => [],
    forwards: () => [],
    close: async () => undefined,
    remove: async () => undefined,
  };
}
