/** Projects, users, roles, what users may do where, and tokens that no longer count. */
import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

export const identity: Migration = {
  async up(db: Kysely<unknown>) {
    await sql`create table projects (
      id text primary key, name text not null unique, description text not null, enabled integer not null, created_at bigint not null)`.execute(
      db,
    );
    await sql`create table users (
      id text primary key, name text not null unique, password_hash text, enabled integer not null, default_project_id text,
      email text, description text, created_at bigint not null)`.execute(db);
    await sql`create table roles (id text primary key, name text not null unique, description text)`.execute(db);
    await sql`create table role_assignments (
      user_id text not null references users(id) on delete cascade,
      project_id text not null references projects(id) on delete cascade,
      role_id text not null references roles(id) on delete cascade,
      primary key (user_id, project_id, role_id))`.execute(db);
    await sql`create index role_assignments_project on role_assignments (project_id)`.execute(db);
    await sql`create index role_assignments_role on role_assignments (role_id)`.execute(db);
    await sql`create table token_revocations (
      id text primary key, audit_id text, user_id text, project_id text, before bigint not null, expires_at bigint not null)`.execute(
      db,
    );
    await sql`create index token_revocations_audit on token_revocations (audit_id)`.execute(db);
    await sql`create index token_revocations_user on token_revocations (user_id)`.execute(db);
    await sql`create index token_revocations_project on token_revocations (project_id)`.execute(db);
    await sql`create index token_revocations_expires on token_revocations (expires_at)`.execute(db);
    await sql`create table signing_keys (id text primary key, key text not null, created_at bigint not null)`.execute(
      db,
    );
    await sql`create table identity_revision (id integer primary key, revision bigint not null)`.execute(db);
    await sql`insert into identity_revision (id, revision) values (1, 0)`.execute(db);
  },
};
