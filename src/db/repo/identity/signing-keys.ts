/** The keys that tokens are sealed with. A key stays until no token that it sealed can still be valid. */
import type { Queries } from '#db/database.ts';

export interface StoredKey {
  readonly id: string;
  /** 32 random bytes in base64url. */
  readonly key: string;
  /** Epoch ms. */
  readonly createdAt: number;
}

/** All keys, newest first. */
export async function listSigningKeys(queries: Queries): Promise<StoredKey[]> {
  const rows = await queries
    .selectFrom('signing_keys')
    .selectAll()
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .execute();
  return rows.map((row) => ({ id: row.id, key: row.key, createdAt: row.created_at }));
}

export async function insertSigningKey(queries: Queries, key: StoredKey): Promise<void> {
  await queries.insertInto('signing_keys').values({ id: key.id, key: key.key, created_at: key.createdAt }).execute();
}

export async function deleteSigningKeys(queries: Queries, ids: readonly string[]): Promise<void> {
  if (ids.length > 0) await queries.deleteFrom('signing_keys').where('id', 'in', ids).execute();
}
