/** What servers remember between operations, server groups, and tokens of consoles. */
import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

export const lifecycle: Migration = {
  async up(db: Kysely<unknown>) {
    await sql`alter table servers add column image_properties text not null default '{}'`.execute(db);
    await sql`alter table servers add column locked_by text`.execute(db);
    await sql`alter table servers add column shelved_image_id text`.execute(db);
    await sql`alter table servers add column shelved_at bigint`.execute(db);
    await sql`alter table servers add column soft_deleted_at bigint`.execute(db);
    await sql`create table server_groups (
      id text primary key, project_id text not null, user_id text not null, name text not null, policy text not null,
      rules text not null, created_at bigint not null)`.execute(db);
    await sql`create index server_groups_project on server_groups (project_id, created_at)`.execute(db);
    await sql`create table server_group_members (
      server_id text primary key, group_id text not null references server_groups(id) on delete cascade)`.execute(db);
    await sql`create index server_group_members_group on server_group_members (group_id)`.execute(db);
    await sql`create table console_tokens (
      token_hash text primary key, server_id text not null, kind text not null, expires_at bigint not null)`.execute(
      db,
    );
    await sql`create index console_tokens_expires on console_tokens (expires_at)`.execute(db);
  },
};
