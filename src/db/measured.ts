/** Measures transactions, on whichever engine. */
import { type Meter, secondsSince } from '#observe/metrics.ts';
import type { Database } from './database.ts';

export function measured(database: Database, meter: Meter): Database {
  const timed = async <Result>(kind: 'single' | 'grouped', run: () => Promise<Result>): Promise<Result> => {
    const begun = performance.now();
    const measure = (outcome: string) =>
      meter.observe('micronova_db_transaction_duration_seconds', { kind, outcome }, secondsSince(begun));
    try {
      const result = await run();
      measure('ok');
      return result;
    } catch (error) {
      measure('failed');
      throw error;
    }
  };
  return {
    ...database,
    transaction: (work) => timed('single', () => database.transaction(work)),
    commit: (work) => timed('grouped', () => database.commit(work)),
    commitGuarded: (work) => timed('grouped', () => database.commitGuarded(work)),
  };
}
