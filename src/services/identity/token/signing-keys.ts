/**
 * The keys that seal tokens, as all identity processes of a cloud share them through the database.
 *
 * A new key only signs once it is `SETTLE_MS` old, when every process has had the time to read it; until then the one
 * before does. A key is kept as long as a token that it sealed may be valid.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import type { Queries } from '#db/database.ts';
import {
  deleteSigningKeys,
  insertSigningKey,
  listSigningKeys,
  type StoredKey,
} from '#db/repo/identity/signing-keys.ts';
import type { IdentityRecord } from '../identity-record.ts';

const SETTLE_MS = 5000;

export interface KeyRing {
  /** Newest first. */
  all(): Promise<readonly Buffer[]>;
  /** Throws where bootstrap has not made any key. */
  signing(): Promise<Buffer>;
}

interface LoadedKey {
  readonly key: Buffer;
  readonly createdAt: number;
}

/** The keys, kept in memory until the record changes. */
export function keyRing(deps: { readonly record: IdentityRecord; readonly clock: () => number }): KeyRing {
  const { record, clock } = deps;
  let loaded: readonly LoadedKey[] | undefined;
  record.onChange(() => {
    loaded = undefined;
  });
  async function load(): Promise<readonly LoadedKey[]> {
    if (loaded) return loaded;
    const { generation } = record;
    const rows = await listSigningKeys(record.queries);
    const keys = rows.map((row) => ({ key: Buffer.from(row.key, 'base64url'), createdAt: row.createdAt }));
    if (generation === record.generation) loaded = keys;
    return keys;
  }
  return {
    all: async () => (await load()).map((each) => each.key),
    signing: async () => {
      const keys = await load();
      const settled = keys.find((each) => each.createdAt <= clock() - SETTLE_MS) ?? keys.at(-1);
      if (!settled) throw new Error('there is no signing key; bootstrap the identity role first');
      return settled.key;
    },
  };
}

/** Adds the first key where there is none. */
export async function ensureSigningKey(queries: Queries, now: number): Promise<void> {
  if ((await listSigningKeys(queries)).length === 0) await insertSigningKey(queries, newKey(now));
}

/**
 * Adds a key, which becomes the signing one, and drops those that stopped signing longer than a token's life ago. Safe
 * to call at any time and from any process; tokens in use stay valid.
 */
export async function rotateSigningKeys(deps: {
  readonly record: IdentityRecord;
  readonly clock: () => number;
  readonly tokenLifetimeMs: number;
}): Promise<void> {
  const now = deps.clock();
  await deps.record.write(async (trx) => {
    const keys = await listSigningKeys(trx);
    const supersededAt = (at: number) => (keys[at - 1]?.createdAt ?? now) + SETTLE_MS;
    const useless = keys.filter((_, at) => supersededAt(at) + deps.tokenLifetimeMs < now);
    await deleteSigningKeys(
      trx,
      useless.map((each) => each.id),
    );
    // Later than the one before it even within a ms: the order of the keys is the order of their times.
    await insertSigningKey(trx, newKey(Math.max(now, (keys[0]?.createdAt ?? 0) + 1)));
  });
}

function newKey(now: number): StoredKey {
  return { id: randomUUID(), key: randomBytes(32).toString('base64url'), createdAt: now };
}
