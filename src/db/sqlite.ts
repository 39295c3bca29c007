/**
 * SQLite as the record: the only importer of `node:sqlite`.
 *
 * WAL with `synchronous=FULL`: an answer of 202 promises that the operation happens, so its row must survive a power
 * cut. Statements are prepared once per text.
 */
import { chmodSync } from 'node:fs';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import {
  CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  Kysely,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely';
import type { Database, Schema } from './database.ts';
import { groupCommit } from './group-commit.ts';
import { migrate } from './migrate.ts';

const PRAGMAS = `
  pragma journal_mode = wal;
  pragma synchronous = full;
  pragma foreign_keys = on;
  pragma cache_size = -16384;
  pragma mmap_size = 268435456;
  pragma temp_store = memory;
  pragma journal_size_limit = 67108864;
`;

/** Rows that this connection has changed, and a count that moves when another one (the command line) commits. */
const REVISION = "select total_changes() || ' ' || data_version as revision from pragma_data_version";

const UNIQUE = 2067;
const PRIMARY_KEY = 1555;

/** Opens (and creates and migrates, see `migrate`) the database at `path`; `:memory:` for tests. The file is private to its user. */
export async function openSqlite(path: string, schema?: string): Promise<Database> {
  let revision: () => string | null = () => null;
  const opened = () => {
    const db = open(path);
    const statement = db.prepare(REVISION);
    revision = () => String(statement.get()?.revision);
    return db;
  };
  const queries = new Kysely<Schema>({ dialect: dialect(opened) });
  await migrate(queries, schema);
  const transaction: Database['transaction'] = (work) => queries.transaction().execute(work);
  const commit = groupCommit(transaction);
  return {
    queries,
    transaction,
    commit,
    commitGuarded: commit,
    read: (work) => queries.transaction().setAccessMode('read only').execute(work),
    revision: () => revision(),
    runsSideBySide: false,
    isUniqueViolation: (error) => {
      const code = (error as { errcode?: number }).errcode;
      return code === UNIQUE || code === PRIMARY_KEY;
    },
    close: () => queries.destroy(),
  };
}

/**
 * Makes this process the only one that serves the data in `path`'s folder, until it ends in any way: the kernel drops
 * the lock with the process. Returns null when another process has it.
 */
export function lockFile(path: string): { release(): void } | null {
  const db = new DatabaseSync(path, { timeout: 0 });
  try {
    db.exec('pragma locking_mode = exclusive; begin exclusive');
    return { release: () => db.close() };
  } catch (error) {
    db.close();
    const SQLITE_BUSY = 5;
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return null;
    throw error;
  }
}

function open(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: 5000 });
  if (path !== ':memory:') chmodSync(path, 0o600);
  db.exec(PRAGMAS);
  return db;
}

function dialect(open: () => DatabaseSync): Dialect {
  return {
    createAdapter: () => new Adapter(),
    createQueryCompiler: () => new SqliteQueryCompiler(),
    createIntrospector: (db) => new SqliteIntrospector(db),
    createDriver: () => driver(open),
  };
}

/** SQLite can take back what was done to its schema: so all migrations are one commit, or none, whatever is killed when. */
class Adapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true;
  }
}

function driver(open: () => DatabaseSync): Driver {
  let connection: Connection | undefined;
  const run = (sql: string) => async (to: DatabaseConnection) => {
    await to.executeQuery(CompiledQuery.raw(sql));
  };
  return {
    init: async () => {
      connection = new Connection(open());
    },
    acquireConnection: async () => {
      if (!connection) throw new Error('the database is not open');
      return connection;
    },
    releaseConnection: async () => {},
    destroy: async () => connection?.close(),
    beginTransaction: (to, { accessMode }) => run(accessMode === 'read only' ? 'begin' : 'begin immediate')(to),
    commitTransaction: run('commit'),
    rollbackTransaction: run('rollback'),
  };
}

interface Prepared {
  readonly statement: StatementSync;
  readonly returnsRows: boolean;
}

class Connection implements DatabaseConnection {
  readonly #db: DatabaseSync;
  readonly #prepared = new Map<string, Prepared>();
  static readonly #MAX_PREPARED = 500;

  constructor(db: DatabaseSync) {
    this.#db = db;
  }

  async executeQuery<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
    const { statement, returnsRows } = this.#prepare(query.sql);
    const parameters = query.parameters.map(bindable);
    // Rows have the shape that the compiled query selects; Kysely's types vouch for it.
    if (returnsRows) return { rows: statement.all(...parameters) as Row[] };
    const result = statement.run(...parameters);
    return { rows: [], numAffectedRows: BigInt(result.changes), insertId: BigInt(result.lastInsertRowid) };
  }

  async *streamQuery<Row>(query: CompiledQuery): AsyncIterableIterator<QueryResult<Row>> {
    for (const row of this.#db.prepare(query.sql).iterate(...query.parameters.map(bindable)))
      yield { rows: [row as Row] };
  }

  close(): void {
    this.#prepared.clear();
    this.#db.close();
  }

  #prepare(sql: string): Prepared {
    const known = this.#prepared.get(sql);
    if (known) return known;
    const statement = this.#db.prepare(sql);
    const prepared = { statement, returnsRows: statement.columns().length > 0 };
    const [oldest] = this.#prepared.keys();
    if (this.#prepared.size >= Connection.#MAX_PREPARED && oldest !== undefined) this.#prepared.delete(oldest);
    this.#prepared.set(sql, prepared);
    return prepared;
  }
}

/** node:sqlite stores a `Date`, `NaN` or `undefined` as NULL without a word; here they are errors. */
function bindable(value: unknown): SQLInputValue {
  if (value === null || typeof value === 'string' || typeof value === 'bigint' || value instanceof Uint8Array)
    return value;
  if (typeof value === 'number' && !Number.isNaN(value)) return value;
  if (typeof value === 'boolean') return value ? 1 : 0;
  throw new TypeError(`cannot bind ${typeof value}`);
}
