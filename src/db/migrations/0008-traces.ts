/** Operations remember the span of the request that asked for them, so that a trace survives whoever runs them. */
import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

export const traces: Migration = {
  async up(db: Kysely<unknown>) {
    await sql`alter table operations add column traceparent text`.execute(db);
  },
};
