/** Consoles of guests on other machines: their agent offers a stream, and whoever shows it connects through the agents' channel. */
import type { Duplex } from 'node:stream';
import type { Rpc } from '#bus/rpc.ts';
import { computeContract } from '#contracts/compute.ts';
import { openStream } from './channel/open-stream.ts';

/** A console is open as long as somebody looks at it. */
const untilItEnds = new AbortController().signal;

/** The screen or the serial line of a guest, wherever it is. Throws `instanceNotReady` for one without a process. */
export async function openRemoteConsole(
  rpc: Rpc,
  host: string,
  serverId: string,
  kind: 'vnc' | 'serial',
): Promise<Duplex> {
  const agent = rpc.client(computeContract, 'nova-api', host);
  const { offer } = await agent.offerConsole({ serverId, kind });
  const withdraw = () => {
    // What is not withdrawn ends by itself.
    agent.withdrawOffer({ offerId: offer.id }).catch(() => undefined);
  };
  try {
    const stream = await openStream(offer, kind, untilItEnds);
    return stream.once('close', withdraw);
  } catch (error) {
    withdraw();
    throw error;
  }
}
