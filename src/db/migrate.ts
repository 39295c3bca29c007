/** Brings a database to this version's schema. Migrations are numbered, forward only, and never edited once released. */
import { type Kysely, sql } from 'kysely';
import { DEFAULT_MIGRATION_TABLE, type Migration, Migrator } from 'kysely/migration';
import { CloudError } from '#domain/errors.ts';
import type { Schema } from './database.ts';
import { identity } from './migrations/0001-identity.ts';
import { image } from './migrations/0002-image.ts';
import { compute } from './migrations/0003-compute.ts';
import { journal } from './migrations/0004-journal.ts';
import { lifecycle } from './migrations/0005-lifecycle.ts';
import { moves } from './migrations/0006-moves.ts';
import { hosts } from './migrations/0007-hosts.ts';
import { traces } from './migrations/0008-traces.ts';
import { network } from './migrations/0009-network.ts';
import { hostNetwork } from './migrations/0010-host-network.ts';
import { computeQuotas } from './migrations/0011-compute-quotas.ts';

const MIGRATIONS: Record<string, Migration> = {
  '0001-identity': identity,
  '0002-image': image,
  '0003-compute': compute,
  '0004-journal': journal,
  '0005-lifecycle': lifecycle,
  '0006-moves': moves,
  '0007-hosts': hosts,
  '0008-traces': traces,
  '0009-network': network,
  '0010-host-network': hostNetwork,
  '0011-compute-quotas': computeQuotas,
};

/** The schema of this version, by its last migration. */
export const SCHEMA = Object.keys(MIGRATIONS).at(-1) ?? '';

/**
 * Several processes may do it at once. `upTo`: the last migration to apply, for what was written in an older schema. Throws what
 * the failing migration threw; then none of them is applied. Throws `databaseNewer`, having changed nothing, when the database has,
 * or is to have, migrations that are not known here.
 */
export async function migrate(db: Kysely<Schema>, upTo: string = SCHEMA): Promise<void> {
  if (!Object.hasOwn(MIGRATIONS, upTo)) throw new CloudError('databaseNewer', { migrations: upTo });
  const wanted = Object.entries(MIGRATIONS).filter(([name]) => name <= upTo);
  const migrator = new Migrator({ db, provider: { getMigrations: async () => Object.fromEntries(wanted) } });
  const { error } = await migrator.migrateToLatest();
  if (!error) return;
  const unknown = await unknownMigrations(db).catch(() => []);
  if (unknown.length > 0) throw new CloudError('databaseNewer', { migrations: unknown.join(', ') }, { cause: error });
  if (upTo !== SCHEMA) {
    const reason = `The database has a newer schema than ${upTo} already; give one that is empty.`;
    throw new CloudError('conflict', { reason }, { cause: error });
  }
  throw error;
}

async function unknownMigrations(db: Kysely<Schema>): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`select name from ${sql.table(DEFAULT_MIGRATION_TABLE)}`.execute(db);
  return rows.map(({ name }) => name).filter((name) => !Object.hasOwn(MIGRATIONS, name));
}
