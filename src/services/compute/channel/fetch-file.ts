/**
 * The side of the channel between agents that fetches: a file in pieces, several on their way at once, each checked by its hash.
 * A connection that breaks costs the pieces that were on their way. What an earlier attempt has left of the file is kept: of
 * a piece that is the same on both sides only the hash goes over the wire.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, open, rename } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import type { Offer } from '#contracts/offer.ts';
import { CloudError } from '#domain/errors.ts';
import { CHUNK_BYTES, credentials, HASH_HEADER, KNOWN_HEADER } from './wire.ts';

export interface WantedFile {
  readonly name: string;
  readonly sizeBytes: number;
  /** Where it is written; appears there when it is whole. */
  readonly target: string;
}

const AT_ONCE = 4;
const ATTEMPTS = 6;
const SILENCE_MS = 30_000;

/** Tells how many bytes have come, zeros included. */
type OnBytes = (bytes: number) => void;

/** Fetches the files one after the other. Throws `serviceUnavailable` (retryable) when the other side stays away. */
export async function fetchFiles(
  offer: Offer,
  files: readonly WantedFile[],
  signal: AbortSignal,
  onBytes: OnBytes,
): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE, ...credentials(offer) });
  try {
    for (const file of files) await fetchFile({ offer, agent, signal }, file, onBytes);
  } finally {
    agent.destroy();
  }
}

interface Connection {
  readonly offer: Offer;
  readonly agent: Agent;
  readonly signal: AbortSignal;
}

async function fetchFile(connection: Connection, wanted: WantedFile, onBytes: OnBytes): Promise<void> {
  const partial = `${wanted.target}.partial`;
  const before = await open(partial, 'r+').catch(() => null);
  const file = before ?? (await open(partial, 'w+', 0o600));
  try {
    await file.truncate(wanted.sizeBytes);
    const into = { file, isEmpty: before === null };
    const chunks = Math.ceil(wanted.sizeBytes / CHUNK_BYTES);
    let next = 0;
    const worker = async () => {
      while (next < chunks) {
        const chunk = next++;
        const length = Math.min(CHUNK_BYTES, wanted.sizeBytes - chunk * CHUNK_BYTES);
        await fetchInto(connection, wanted.name, { chunk, length }, into);
        onBytes(length);
      }
    };
    const untilOneFails = () =>
      worker().catch((error: unknown) => {
        next = chunks;
        throw error;
      });
    const workers = await Promise.allSettled(Array.from({ length: AT_ONCE }, untilOneFails));
    for (const each of workers) if (each.status === 'rejected') throw each.reason;
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(partial, wanted.target);
}

interface Piece {
  readonly chunk: number;
  readonly length: number;
}

/** Something that the other side did not hold out, and somebody who does not know the key: neither comes by waiting. */
class NotOffered extends Error {}

function isRefusal(error: unknown): boolean {
  return error instanceof NotOffered || (error as NodeJS.ErrnoException).code === 'EPROTO';
}

interface Target {
  readonly file: FileHandle;
  /** Nothing but zeros so far. */
  readonly isEmpty: boolean;
}

async function fetchInto(connection: Connection, name: string, piece: Piece, into: Target): Promise<void> {
  const known = into.isEmpty ? null : hashOf(await readPiece(into.file, piece));
  for (let attempt = 1; ; attempt++) {
    connection.signal.throwIfAborted();
    try {
      const answer = await ask(connection, name, piece.chunk, known);
      if (answer === 'same') return;
      const content = answer.bytes ?? Buffer.alloc(piece.length);
      if (content.length !== piece.length || hashOf(content) !== answer.hash)
        throw new Error(`piece ${piece.chunk} of ${name} came damaged`);
      if (answer.bytes || !into.isEmpty) await into.file.write(content, 0, content.length, piece.chunk * CHUNK_BYTES);
      return;
    } catch (error) {
      connection.signal.throwIfAborted();
      if (attempt === ATTEMPTS || isRefusal(error)) {
        const reason = `The other host does not give ${name}: ${(error as Error).message}`;
        throw new CloudError('serviceUnavailable', { reason }, { cause: error });
      }
      await delay(100 * 2 ** attempt, undefined, { signal: connection.signal }).catch(() => undefined);
    }
  }
}

async function readPiece(file: FileHandle, { chunk, length }: Piece): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, chunk * CHUNK_BYTES);
  return buffer.subarray(0, bytesRead);
}

function hashOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** One piece, unless its hash is the one that is known here; `bytes` is null for nothing but zeros. */
function ask(
  { offer, agent, signal }: Connection,
  name: string,
  chunk: number,
  known: string | null,
): Promise<'same' | { readonly bytes: Buffer | null; readonly hash: string }> {
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        host: offer.address,
        port: offer.port,
        agent,
        signal,
        timeout: SILENCE_MS,
        path: `/${encodeURIComponent(name)}?chunk=${chunk}`,
        ...(known !== null && { headers: { [KNOWN_HEADER]: known } }),
      },
      (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('error', reject);
        response.on('end', () => {
          const hash = String(response.headers[HASH_HEADER]);
          if (response.statusCode === 304) resolve('same');
          else if (response.statusCode === 204) resolve({ bytes: null, hash });
          else if (response.statusCode === 200) resolve({ bytes: Buffer.concat(parts), hash });
          else reject(new NotOffered(`it answered ${response.statusCode}`));
        });
      },
    );
    asked.on('timeout', () => asked.destroy(new Error('it fell silent')));
    asked.on('error', reject);
    asked.end();
  });
}
