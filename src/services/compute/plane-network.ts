/** The other ends of guests' network cards on a host that has networks: taps of its plane. */
import type { GuestNic } from './driver/driver.ts';
import { type GuestNetwork, USER_NETWORK } from './driver/guest-network.ts';
import { tapName } from './network/names.ts';
import type { NetworkPlane } from './network/plane.ts';

/** On a host without networks every card is alone in one of QEMU's own. */
export function planeNetwork(
  plane: Pick<NetworkPlane, 'kind' | 'enter' | 'tapFor' | 'attach' | 'detach'>,
): GuestNetwork {
  if (plane.kind === 'none') return USER_NETWORK;
  return {
    netdev: (nic) =>
      nic.portId === undefined
        ? USER_NETWORK.netdev(nic)
        : { type: 'tap', ifname: tapName(nic.portId), script: 'no', downscript: 'no' },
    // A card from before there were ports has QEMU reach the machine's own network.
    enter: async (nics) => (nics.some(({ portId }) => portId === undefined) ? [] : plane.enter()),
    prepare: (nics) => each(nics, (portId) => plane.tapFor(portId)),
    join: (nics, how) => each(nics, (portId) => plane.attach(portId, how)),
    release: (nics) => each(nics, (portId) => plane.detach(portId)),
  };
}

async function each(nics: readonly GuestNic[], work: (portId: string) => Promise<unknown>): Promise<void> {
  for (const { portId } of nics) if (portId !== undefined) await work(portId);
}
