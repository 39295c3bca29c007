/**
 * The record: one typed schema for both engines, opened, migrated and closed here.
 *
 * A transaction holds the only SQLite connection: inside one use nothing but its `trx`, and never wait for anything
 * that is not a query.
 */
import type { Kysely, Transaction } from 'kysely';
import type { ComputeTables } from './tables/compute.ts';
import type { IdentityTables } from './tables/identity.ts';
import type { ImageTables } from './tables/image.ts';
import type { JournalTables } from './tables/journal.ts';

export interface Schema extends IdentityTables, ImageTables, ComputeTables, JournalTables {}

/** What a query function takes: the database or an open transaction. */
export type Queries = Kysely<Schema> | Transaction<Schema>;

export interface Database {
  readonly queries: Kysely<Schema>;
  /** Runs `work` in one transaction; commits when it resolves, rolls back when it throws. */
  transaction<Result>(work: (trx: Transaction<Schema>) => Promise<Result>): Promise<Result>;
  /**
   * The same for work that often comes in numbers: what waits at the same moment shares one transaction and its commit.
   * Work that throws may be run a second time, alone.
   */
  commit<Result>(work: (trx: Transaction<Schema>) => Promise<Result>): Promise<Result>;
  /**
   * Names the state of the record: as long as it stays the same, every query answers the same. Null where that cannot
   * be known. Moves with what is not committed yet, so take it before reading, not after.
   */
  revision(): string | null;
  /** True when `error` says that a unique or primary key exists already. */
  isUniqueViolation(error: unknown): boolean;
  close(): Promise<void>;
}
