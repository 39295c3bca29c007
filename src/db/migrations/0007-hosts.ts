/** What an operator of several hosts needs: processes besides the agents, aggregates of hosts, numbers for old microversions. */
import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

export const hosts: Migration = {
  async up(db: Kysely<unknown>) {
    await sql`alter table hosts add column number integer not null default 0`.execute(db);
    await sql`alter table hosts add column address text not null default ''`.execute(db);
    await sql`alter table hosts add column booted_at bigint`.execute(db);
    await sql`update hosts set number = (select count(*) from hosts as other where other.created_at < hosts.created_at
      or (other.created_at = hosts.created_at and other.id <= hosts.id))`.execute(db);
    await sql`create unique index hosts_number on hosts (number)`.execute(db);
    await sql`create table services (
      id text primary key, number integer not null unique, role text not null, host text not null, seen_at bigint not null,
      created_at bigint not null, unique (role, host))`.execute(db);
    await sql`create table aggregates (
      id integer primary key, uuid text not null unique, name text not null unique, metadata text not null,
      created_at bigint not null, updated_at bigint)`.execute(db);
    await sql`create table aggregate_hosts (
      aggregate_id integer not null references aggregates(id) on delete cascade, host text not null,
      primary key (aggregate_id, host))`.execute(db);
    await sql`create index aggregate_hosts_host on aggregate_hosts (host)`.execute(db);
    await sql`create index server_migrations_created on server_migrations (created_at)`.execute(db);
    await sql`create index operations_failed on operations (finished_at) where error is not null`.execute(db);
  },
};
