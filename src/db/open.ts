/** The record where the configuration says: a file of SQLite, or a PostgreSQL server. */
import { CloudError } from '#domain/errors.ts';
import { NO_METER } from '#observe/metrics.ts';
import type { Database } from './database.ts';
import { measured } from './measured.ts';
import { openPostgres, type PostgresOptions } from './postgres.ts';
import { openSqlite } from './sqlite.ts';

export interface Place {
  /** `postgres://…`, or empty for the file. */
  readonly url: string;
  readonly file: string;
}

/** Opens, creates where that is ours to do, and migrates. Throws as `openPostgres` does. See `migrate` for `schema`. */
export async function openDatabase(place: Place, options: PostgresOptions = {}): Promise<Database> {
  const { meter = NO_METER } = options;
  if (place.url === '') return measured(await openSqlite(place.file, options.schema), meter);
  if (!isPostgres(place.url)) throw new CloudError('databaseRefused', { reason: 'it is not postgres://…' });
  return measured(await openPostgres(place.url, options), meter);
}

function isPostgres(url: string): boolean {
  return url.startsWith('postgres://') || url.startsWith('postgresql://');
}
