/** Changing the record: one transaction, and then those hear of it who make it so on the hosts. */
import type { Transaction } from 'kysely';
import { commitUnique } from '#db/commit-unique.ts';
import type { Schema } from '#db/database.ts';
import type { NetworkDeps } from './deps.ts';

export interface Written<Result> {
  readonly result: Result;
  /** On which hosts may have to do something. */
  readonly networks: readonly string[];
}

/** Answers the result after the commit. `work` may run more than once. */
export async function write<Result>(
  { db, changed }: NetworkDeps,
  work: (trx: Transaction<Schema>) => Promise<Written<Result>>,
): Promise<Result> {
  const { result, networks } = await commitUnique(db, work);
  if (networks.length > 0) changed([...new Set(networks)]);
  return result;
}
