/** Hosts say how they run networks, and where tunnels to them end. */
import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

export const hostNetwork: Migration = {
  async up(db: Kysely<unknown>) {
    await sql`alter table hosts add column network_kind text not null default 'none'`.execute(db);
    await sql`alter table hosts add column network_address text not null default ''`.execute(db);
  },
};
