/** Moves of servers between hosts and flavors, and the room that one holds on two hosts meanwhile. */
import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

export const moves: Migration = {
  async up(db: Kysely<unknown>) {
    await sql`create table server_migrations (
      id integer primary key, uuid text not null unique, server_id text not null, project_id text not null, user_id text not null,
      type text not null, status text not null, source_host text not null, dest_host text, old_flavor text not null,
      new_flavor text not null, operation_id text, created_at bigint not null, updated_at bigint not null)`.execute(db);
    await sql`create index server_migrations_server on server_migrations (server_id, id)`.execute(db);
    await sql`create index server_migrations_operation on server_migrations (operation_id)`.execute(db);
    await sql`alter table allocations rename to allocations_of_one_host`.execute(db);
    await sql`create table allocations (
      server_id text not null, held_for text not null, host text not null, vcpus integer not null, memory_mib integer not null,
      disk_gib integer not null, created_at bigint not null, primary key (server_id, held_for))`.execute(db);
    await sql`insert into allocations (server_id, held_for, host, vcpus, memory_mib, disk_gib, created_at)
      select server_id, 'server', host, vcpus, memory_mib, disk_gib, created_at from allocations_of_one_host`.execute(
      db,
    );
    await sql`drop table allocations_of_one_host`.execute(db);
    await sql`create index allocations_by_host on allocations (host)`.execute(db);
    await sql`alter table hosts add column forced_down integer not null default 0`.execute(db);
  },
};
