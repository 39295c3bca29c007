/** Committing what picks something that nobody else has: an address, a number, a name. */
import type { Transaction } from 'kysely';
import type { Database, Schema } from './database.ts';

/** Two that pick the same at once, or more; each finds then what the other picked. */
const ATTEMPTS = 5;

/** As `db.commit`; done again when somebody else was faster. `work` may run more than once. */
export async function commitUnique<Result>(
  db: Database,
  work: (trx: Transaction<Schema>) => Promise<Result>,
): Promise<Result> {
  for (let tries = 1; ; tries++) {
    try {
      return await db.commit(work);
    } catch (error) {
      if (!db.isUniqueViolation(error) || tries === ATTEMPTS) throw error;
    }
  }
}
