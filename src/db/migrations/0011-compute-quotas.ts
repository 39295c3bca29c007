/** Limits of single projects. */
import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

export const computeQuotas: Migration = {
  async up(db: Kysely<unknown>) {
    await sql`create table compute_quotas (
      project_id text not null, resource text not null, amount integer not null, primary key (project_id, resource))`.execute(
      db,
    );
  },
};
