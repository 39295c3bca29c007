/** What both sides of the channel between agents must agree on. */
import type { AgentOptions } from 'node:https';
import type { Offer } from '#contracts/offer.ts';

/** A file is fetched in pieces of this size, each with its hash; what broke off goes on with the piece that is missing. */
export const CHUNK_BYTES = 4 * 2 ** 20;

/** TLS 1.3 with a key that both know: each side proves itself by it, and there are no certificates to look after. */
export const TLS = { minVersion: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256' } as const;

/** Response header with the SHA-256 of a piece, in hex. */
export const HASH_HEADER = 'x-micronova-sha256';
/** Request header with the hash of what is there already: nothing is sent if it is the same. */
export const KNOWN_HEADER = 'x-micronova-known';

/** Named in the `Upgrade` header of a request for a stream. */
export const STREAM_PROTOCOL = 'micronova-stream';

/** By which a client proves that it has the key, and lets nobody else answer. */
export function credentials(offer: Offer): AgentOptions {
  return {
    // A session that is taken up again names no offer.
    maxCachedSessions: 0,
    ...TLS,
    pskCallback: () => ({ psk: Buffer.from(offer.key, 'base64'), identity: offer.id }),
    // Asked only where a certificate came instead of the proof by the key: then it is somebody else.
    checkServerIdentity: () => new Error('the other agent does not know the key'),
  };
}
