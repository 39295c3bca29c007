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
import type { NetworkTables } from './tables/network.ts';
import type { OperatingTables } from './tables/operating.ts';

export interface Schema
  extends IdentityTables,
    ImageTables,
    ComputeTables,
    JournalTables,
    OperatingTables,
    NetworkTables {}

/** What a query function takes: the database or an open transaction. */
export type Queries = Kysely<Schema> | Transaction<Schema>;

export interface Database {
  readonly queries: Kysely<Schema>;
  /**
   * Runs `work` in one transaction; commits when it resolves, rolls back when it throws. Transactions have an effect as if
   * they ran one after the other. Where they run side by side, one that met another is run again: `work` must change nothing
   * but through its `trx`.
   */
  transaction<Result>(work: (trx: Transaction<Schema>) => Promise<Result>): Promise<Result>;
  /**
   * The same for work that often comes in numbers: what waits at the same moment shares one transaction and its commit.
   * Work that throws may be run a second time, alone.
   */
  commit<Result>(work: (trx: Transaction<Schema>) => Promise<Result>): Promise<Result>;
  /**
   * The same, for work that begins by changing the row on which all else depends, and only if that is still as it must be
   * (`update … where`). Whoever changes that row waits until it is committed, so it need not be placed among all others, which
   * for many processes would cost more than the work.
   */
  commitGuarded<Result>(work: (trx: Transaction<Schema>) => Promise<Result>): Promise<Result>;
  /** Runs queries that all see the record as it is at one moment. Other processes write meanwhile; `work` writes nothing. */
  read<Result>(work: (trx: Transaction<Schema>) => Promise<Result>): Promise<Result>;
  /**
   * Names the state of the record: as long as it stays the same, every query answers the same. Null where that cannot
   * be known. Moves with what is not committed yet, so take it before reading, not after.
   */
  revision(): string | null;
  /**
   * Whether transactions run side by side: then rows that several look for at once are locked, and those that another holds
   * are passed over.
   */
  readonly runsSideBySide: boolean;
  /** True when `error` says that a unique or primary key exists already. */
  isUniqueViolation(error: unknown): boolean;
  close(): Promise<void>;
}
