/**
 * PostgreSQL as the record: the only importer of `pg`.
 *
 * Transactions are SERIALIZABLE, which is what the one connection of SQLite gives for nothing: what a transaction has
 * read still holds when it commits. One that cannot be placed behind the others is run again (`retry.ts`).
 */
import { Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler } from 'kysely';
import { Pool, types } from 'pg';
import type { Log } from '#observe/log.ts';
import { type Meter, NO_METER, type Sample } from '#observe/metrics.ts';
import { Availability } from './availability.ts';
import type { Database, Schema } from './database.ts';
import { groupCommit } from './group-commit.ts';
import { migrate } from './migrate.ts';
import { compareBytewise } from './postgres-collation.ts';
import { type Isolation, postgresDriver } from './postgres-driver.ts';
import { isContention } from './postgres-errors.ts';
import { retried } from './retry.ts';

export interface PostgresOptions {
  /** Told when the database goes and when it is back. */
  readonly log?: Pick<Log, 'info' | 'warn'>;
  /** How long the start waits for a database that does not answer; 0: not at all. */
  readonly waitMs?: number;
  /** Connections at once. */
  readonly connections?: number;
  /** How far to migrate; see `migrate`. */
  readonly schema?: string;
  readonly meter?: Meter;
}

const CONNECTIONS = 10;
const WAIT_MS = 60_000;

/** For a connection, also for a free one of the pool. */
const CONNECT_TIMEOUT_MS = 10_000;
/** Many times what our longest query takes; what runs longer than that waits for a lock that nobody gives back. */
const STATEMENT_TIMEOUT_MS = 30_000;
/** A process that stands still in the middle of a transaction holds up all others no longer than that. */
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 15_000;

const UNIQUE_VIOLATION = '23505';
const INT8 = 20;

/**
 * Connects to (and migrates) the database of a `postgres://` address; TLS by its `?sslmode=`. Waits for one that does not
 * answer. Throws `databaseUnavailable` when none came, and at once when it refuses us.
 */
export async function openPostgres(url: string, options: PostgresOptions = {}): Promise<Database> {
  const availability = new Availability(options.log);
  await prepare(url, availability, options);
  const meter = options.meter ?? NO_METER;
  const onRetry = () => meter.count('micronova_db_retries_total', {});
  const pool = openPool(url, {
    max: options.connections ?? CONNECTIONS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT_MS,
  });
  meter.gauges(() => useOf(pool));
  const queries = connect(pool, availability, 'serializable', onRetry);
  const retry = { again: isContention, onRetry };
  const transaction: Database['transaction'] = (work) => retried(() => queries.transaction().execute(work), retry);
  const guarded: Database['transaction'] = (work) =>
    retried(() => queries.transaction().setIsolationLevel('read committed').execute(work), retry);
  return {
    queries,
    transaction,
    commit: groupCommit(transaction),
    commitGuarded: groupCommit(guarded),
    read: (work) => queries.transaction().setAccessMode('read only').execute(work),
    // Others write as well, and asking costs as much as the query that would be saved.
    revision: () => null,
    runsSideBySide: true,
    isUniqueViolation: (error) => (error as { code?: unknown } | null)?.code === UNIQUE_VIOLATION,
    close: () => queries.destroy(),
  };
}

/**
 * Waits for the database and brings it to our schema, over a connection of its own: a migration may take its
 * time, and one that has waited for another process must see what that one has done.
 */
async function prepare(
  url: string,
  availability: Availability,
  { waitMs = WAIT_MS, schema }: PostgresOptions,
): Promise<void> {
  const queries = connect(openPool(url, { max: 1 }), availability, 'read committed');
  try {
    await availability.wait(waitMs, () => migrate(queries, schema));
    await compareBytewise(queries);
  } finally {
    await queries.destroy();
  }
}

interface Limits {
  readonly max: number;
  readonly statement_timeout?: number;
  readonly idle_in_transaction_session_timeout?: number;
}

function connect(pool: Pool, availability: Availability, isolation: Isolation, onRetry?: () => void): Kysely<Schema> {
  return new Kysely<Schema>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createQueryCompiler: () => new PostgresQueryCompiler(),
      createIntrospector: (db) => new PostgresIntrospector(db),
      createDriver: () => postgresDriver(pool, availability, isolation, onRetry),
    },
  });
}

function openPool(url: string, limits: Limits): Pool {
  const pool = new Pool({
    connectionString: url,
    application_name: 'micronova',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    types: { getTypeParser: (oid, format) => (oid === INT8 ? Number : types.getTypeParser(oid, format)) },
    ...limits,
  });
  // Without a listener, a connection that breaks while nobody uses it would end the process. Whoever asks next is told.
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
  return pool;
}

function useOf({ totalCount, idleCount, waitingCount }: Pool): readonly Sample[] {
  const states = { busy: totalCount - idleCount, idle: idleCount, waiting: waitingCount };
  return Object.entries(states).map(([state, value]) => ({
    name: 'micronova_db_connections',
    labels: { state },
    value,
  }));
}
