/**
 * Group commit: pieces of work that wait at the same moment run in one transaction, because a commit costs far more
 * than the statements in it.
 *
 * A piece that throws must have written nothing before it threw (its first statement is its guard); the others are
 * committed. Any other failure rolls the transaction back, and then each piece is run again alone.
 */
import type { Transaction } from 'kysely';
import { LeaseLost } from '#journal/store.ts';
import type { Database, Schema } from './database.ts';

type Work<Result> = (trx: Transaction<Schema>) => Promise<Result>;

interface Waiting {
  readonly work: Work<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

const MAX_GROUP = 128;

export function groupCommit(transaction: Database['transaction']): Database['commit'] {
  let waiting: Waiting[] = [];
  let running = false;

  const runGroup = async (group: readonly Waiting[]) => {
    let settle: (() => void)[] = [];
    await transaction(async (trx) => {
      // The engine may have run us before, in vain: what came out then does not count.
      settle = [];
      for (const { work, resolve, reject } of group) {
        try {
          const value = await work(trx);
          settle.push(() => resolve(value));
        } catch (error) {
          if (!(error instanceof LeaseLost)) throw error;
          settle.push(() => reject(error));
        }
      }
    });
    for (const each of settle) each();
  };

  const drain = async () => {
    running = true;
    while (waiting.length > 0) {
      const group = waiting.slice(0, MAX_GROUP);
      waiting = waiting.slice(MAX_GROUP);
      try {
        await runGroup(group);
      } catch (error) {
        if (group.length === 1) group[0]?.reject(error);
        else for (const one of group) await runGroup([one]).catch(one.reject);
      }
    }
    running = false;
  };

  return (work) =>
    new Promise((resolve, reject) => {
      waiting.push({ work, resolve: resolve as (value: unknown) => void, reject });
      if (!running) {
        running = true;
        // One turn of the loop later, so that all who are ready now share the commit.
        setImmediate(() => void drain());
      }
    });
}
