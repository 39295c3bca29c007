/**
 * The identity role's view of the database: reads, and writes that nobody can miss.
 *
 * Every write counts the revision up in its own transaction. This process drops its caches right after the commit;
 * another one notices the number within `STALE_AFTER_MS`, since `refresh` is awaited before a cache older than that is
 * used. All identity writes must come through `write`, or revoked tokens live on in caches.
 */
import type { Kysely, Transaction } from 'kysely';
import type { Database, Schema } from '#db/database.ts';
import { countRevision, readRevision } from '#db/repo/identity/revision.ts';

/** How long what another process wrote may go unnoticed. */
export const STALE_AFTER_MS = 1000;

export interface IdentityRecord {
  readonly queries: Kysely<Schema>;
  /** One transaction; `work` may use nothing but its `trx`. Caches are stale from the moment this resolves. */
  write<Result>(work: (trx: Transaction<Schema>) => Promise<Result>): Promise<Result>;
  /** Changes with every write known here: what was read under an older generation must not be cached. */
  readonly generation: number;
  /** True while nothing from another process can have gone unnoticed for longer than `STALE_AFTER_MS`. */
  isFresh(): boolean;
  /** Looks for writes of other processes. */
  refresh(): Promise<void>;
  /** Calls `listener` whenever what was read before may have changed. */
  onChange(listener: () => void): void;
  isUniqueViolation(error: unknown): boolean;
}

/** Opens the view; touches the database only when used. */
export function identityRecord(deps: { readonly database: Database; readonly clock: () => number }): IdentityRecord {
  const { database, clock } = deps;
  const listeners: (() => void)[] = [];
  let generation = 0;
  let revision: number | undefined;
  let checkedAt = Number.NEGATIVE_INFINITY;
  let checking: Promise<void> | undefined;

  function changed(): void {
    generation += 1;
    for (const listener of listeners) listener();
  }

  async function check(): Promise<void> {
    // Read before the query: what is written while it runs is found by the next one.
    const startedAt = clock();
    const found = await readRevision(database.queries);
    if (found !== revision) changed();
    revision = found;
    checkedAt = startedAt;
  }

  return {
    get queries() {
      return database.queries;
    },
    async write(work) {
      const result = await database.transaction(async (trx) => {
        const done = await work(trx);
        await countRevision(trx);
        return done;
      });
      changed();
      return result;
    },
    get generation() {
      return generation;
    },
    isFresh: () => {
      const age = clock() - checkedAt;
      // A clock that was set back makes the age negative: look again.
      return age >= 0 && age < STALE_AFTER_MS;
    },
    refresh() {
      checking ??= check().finally(() => {
        checking = undefined;
      });
      return checking;
    },
    onChange: (listener) => {
      listeners.push(listener);
    },
    isUniqueViolation: (error) => database.isUniqueViolation(error),
  };
}
