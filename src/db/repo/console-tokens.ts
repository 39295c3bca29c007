/**
 * Tokens that open a console. Only their SHA-256 is kept: whoever reads the record can open no console with it. Expired
 * ones are removed whenever one is made.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { Queries } from '../database.ts';
import type { ConsoleTokenRow } from '../tables/compute.ts';

export type ConsoleGrant = Omit<ConsoleTokenRow, 'token_hash'>;

const TOKEN_BYTES = 32;
/** Of one server; the oldest give way. */
const MAX_PER_SERVER = 20;

/** Makes a token of 256 random bits and answers it, this once. */
export async function insertConsoleToken(trx: Queries, grant: ConsoleGrant, now: number): Promise<string> {
  const token = randomBytes(TOKEN_BYTES).toString('base64url');
  await trx.deleteFrom('console_tokens').where('expires_at', '<=', now).execute();
  const older = trx
    .selectFrom('console_tokens')
    .select('token_hash')
    .where('server_id', '=', grant.server_id)
    .orderBy('expires_at', 'desc')
    .orderBy('token_hash')
    .limit(MAX_PER_SERVER - 1);
  await trx
    .deleteFrom('console_tokens')
    .where('server_id', '=', grant.server_id)
    .where('token_hash', 'not in', older)
    .execute();
  await trx
    .insertInto('console_tokens')
    .values({ ...grant, token_hash: hashOf(token) })
    .execute();
  return token;
}

/** What a token opens; undefined for one that is unknown or has expired. Whether the server is still there is not asked. */
export function findConsoleToken(db: Queries, token: string, now: number): Promise<ConsoleGrant | undefined> {
  return db
    .selectFrom('console_tokens')
    .select(['server_id', 'kind', 'expires_at'])
    .where('token_hash', '=', hashOf(token))
    .where('expires_at', '>', now)
    .executeTakeFirst();
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}
