/** Operations, their journal, and the outbox. */
import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

export const journal: Migration = {
  async up(db: Kysely<unknown>) {
    await sql`create table operations (
      id text primary key, kind text not null, version integer not null, server_id text not null, project_id text not null,
      user_id text not null, request_id text not null, input text not null, secrets text, state text not null, error text,
      progress text, cancel_reason text, lease_owner text, lease_until bigint not null, fence bigint not null,
      created_at bigint not null, updated_at bigint not null, finished_at bigint)`.execute(db);
    await sql`create index operations_server on operations (server_id, created_at)`.execute(db);
    await sql`create index operations_request on operations (request_id)`.execute(db);
    await sql`create index operations_open on operations (lease_until) where finished_at is null`.execute(db);
    await sql`create table journal (
      operation_id text not null, seq integer not null, step text not null, event text not null, data text, at bigint not null,
      primary key (operation_id, seq))`.execute(db);
    await sql`create table outbox (id text primary key, message text not null, created_at bigint not null)`.execute(db);
  },
};
