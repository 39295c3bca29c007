/**
 * Kysely's driver over a pool of connections: binds values as SQLite does, names errors as our catalogue does, and begins
 * transactions as isolated as it was told.
 */
import type { CompiledQuery, DatabaseConnection, Driver, IsolationLevel, QueryResult } from 'kysely';
import { CloudError } from '#domain/errors.ts';
import type { Availability } from './availability.ts';
import { isContention, named } from './postgres-errors.ts';
import { retried } from './retry.ts';

/** What is used of `pg`. */
export interface PostgresClient {
  query(sql: string, values?: unknown[]): Promise<{ command: string; rowCount: number | null; rows: unknown[] }>;
  release(discard?: boolean): void;
}

export interface PostgresPool {
  connect(): Promise<PostgresClient>;
  end(): Promise<void>;
}

export type Isolation = 'serializable' | 'read committed';

export function postgresDriver(
  pool: PostgresPool,
  availability: Availability,
  isolation: Isolation,
  onRetry?: () => void,
): Driver {
  // Kysely hands back what it was given.
  const own = (connection: DatabaseConnection) => connection as Connection;
  return {
    init: async () => {},
    acquireConnection: async () => {
      try {
        return new Connection(await pool.connect(), availability, onRetry);
      } catch (error) {
        throw availability.heed(named(error));
      }
    },
    releaseConnection: async (connection) => own(connection).release(),
    // What only reads sees one moment without being placed among the others.
    beginTransaction: (connection, { accessMode, isolationLevel = isolation }) =>
      own(connection).begin(accessMode === 'read only' ? 'repeatable read read only' : isolationLevel),
    commitTransaction: (connection) => own(connection).commit(),
    rollbackTransaction: (connection) => own(connection).rollback(),
    destroy: () => pool.end(),
  };
}

/** From the moment it is taken from the pool until it is given back. */
class Connection implements DatabaseConnection {
  readonly #client: PostgresClient;
  readonly #availability: Availability;
  readonly #onRetry: (() => void) | undefined;
  #inTransaction = false;
  #isBroken = false;

  constructor(client: PostgresClient, availability: Availability, onRetry: (() => void) | undefined) {
    this.#client = client;
    this.#availability = availability;
    this.#onRetry = onRetry;
  }

  async executeQuery<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
    const values = query.parameters.map(bindable);
    const run = () => this.#run(query.sql, values);
    // One statement by itself is a whole transaction; one within is run again with everything before it.
    const { command, rowCount, rows } = await (this.#inTransaction
      ? run()
      : retried(run, { again: isContention, onRetry: this.#onRetry }));
    const counts = command === 'INSERT' || command === 'UPDATE' || command === 'DELETE';
    // Rows have the shape that the compiled query selects; Kysely's types vouch for it.
    return { rows: rows as Row[], ...(counts && { numAffectedRows: BigInt(rowCount ?? 0) }) };
  }

  // biome-ignore lint/correctness/useYield: rows are never streamed here
  async *streamQuery(): AsyncIterableIterator<never> {
    throw new Error('rows are not streamed from PostgreSQL');
  }

  async begin(isolation: IsolationLevel | 'repeatable read read only'): Promise<void> {
    await this.#run(`begin isolation level ${isolation}`);
    this.#inTransaction = true;
  }

  async commit(): Promise<void> {
    const { command } = await this.#run('commit');
    this.#inTransaction = false;
    // So it ends when an error inside was caught and not passed on: nothing was written.
    if (command === 'ROLLBACK') throw new Error('a statement of the transaction had failed, so it was rolled back');
  }

  /** Never throws: what led here is what the caller must hear. */
  async rollback(): Promise<void> {
    this.#inTransaction = false;
    await this.#client.query('rollback').catch(() => {
      this.#isBroken = true;
    });
  }

  release(): void {
    this.#client.release(this.#isBroken);
  }

  async #run(sql: string, values?: unknown[]) {
    try {
      const result = await this.#client.query(sql, values);
      this.#availability.works();
      return result;
    } catch (error) {
      throw this.#availability.heed(named(error));
    }
  }
}

/** The same values as on SQLite, and errors where the engines would differ. */
function bindable(value: unknown): unknown {
  if (value === null || typeof value === 'bigint' || value instanceof Uint8Array) return value;
  if (typeof value === 'string') {
    // PostgreSQL keeps no such text. Whoever sent it shall read why.
    if (value.includes('\0')) throw new CloudError('badRequest', { reason: 'Text may not hold the character U+0000.' });
    return value;
  }
  if (typeof value === 'number' && !Number.isNaN(value)) return value;
  if (typeof value === 'boolean') return value ? 1 : 0;
  throw new TypeError(`cannot bind ${typeof value}`);
}
