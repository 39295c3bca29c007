/** The side of the channel between agents that asks for a stream. */
import { Agent, request } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Offer } from '#contracts/offer.ts';
import { CloudError } from '#domain/errors.ts';
import { credentials, STREAM_PROTOCOL } from './wire.ts';

/** For the handshake and for what the other side has to open; not for silence afterwards. */
const OPENING_MS = 30_000;

/**
 * A stream of those that are offered, over a connection of its own; its halves end one by one. What breaks far away may look like
 * an end here, so what goes over it must say itself where it is whole. The signal destroys it, also later. Throws `serviceUnavailable` (retryable) when the other side does not give it.
 */
export async function openStream(offer: Offer, name: string, signal: AbortSignal): Promise<Duplex> {
  signal.throwIfAborted();
  try {
    const stream = await upgraded(offer, name, signal);
    const end = () => stream.destroy(signal.reason instanceof Error ? signal.reason : undefined);
    stream.on('error', () => undefined); // whoever uses it hears of it, too
    signal.addEventListener('abort', end, { once: true });
    stream.once('close', () => signal.removeEventListener('abort', end));
    if (signal.aborted) end();
    return stream;
  } catch (error) {
    signal.throwIfAborted();
    const reason = `The other host does not give ${name}: ${(error as Error).message}`;
    throw new CloudError('serviceUnavailable', { reason }, { cause: error });
  }
}

function upgraded(offer: Offer, name: string, signal: AbortSignal): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const asked = request({
      host: offer.address,
      port: offer.port,
      // Node hands every option on to the connection; its types do not know this one.
      agent: new Agent({ ...credentials(offer), ...{ allowHalfOpen: true } }),
      signal,
      timeout: OPENING_MS,
      path: `/${encodeURIComponent(name)}`,
      headers: { connection: 'upgrade', upgrade: STREAM_PROTOCOL },
    });
    asked.on('upgrade', (_response, socket: Socket, head) => {
      socket.setTimeout(0);
      socket.setNoDelay(true);
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    asked.on('response', ({ statusCode }) => asked.destroy(new Error(`it answered ${statusCode}`)));
    asked.on('timeout', () => asked.destroy(new Error('it fell silent')));
    asked.on('error', reject);
    asked.end();
  });
}
