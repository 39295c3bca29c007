/** Brings a database to this version's schema. Migrations are numbered, forward only, and never edited once released. */
import type { Kysely } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import type { Schema } from './database.ts';
import { identity } from './migrations/0001-identity.ts';
import { image } from './migrations/0002-image.ts';
import { compute } from './migrations/0003-compute.ts';
import { journal } from './migrations/0004-journal.ts';

const MIGRATIONS: Record<string, Migration> = {
  '0001-identity': identity,
  '0002-image': image,
  '0003-compute': compute,
  '0004-journal': journal,
};

/** Throws what the failing migration threw; those before it stay applied. */
export async function migrate(db: Kysely<Schema>): Promise<void> {
  const migrator = new Migrator({ db, provider: { getMigrations: async () => MIGRATIONS } });
  const { error } = await migrator.migrateToLatest();
  if (error) throw error;
}
