/** Flavors, key pairs, servers, hosts, allocations. */
import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

export const compute: Migration = {
  async up(db: Kysely<unknown>) {
    await sql`create table flavors (
      id text primary key, name text not null unique, vcpus integer not null, memory_mib integer not null, disk_gib integer not null,
      ephemeral_gib integer not null, swap_mib integer not null, rxtx_factor real not null, is_public integer not null,
      disabled integer not null, description text, extra_specs text not null, created_at bigint not null)`.execute(db);
    await sql`create table flavor_access (
      flavor_id text not null references flavors(id) on delete cascade, project_id text not null, primary key (flavor_id, project_id))`.execute(
      db,
    );
    await sql`create table keypairs (
      user_id text not null, name text not null, type text not null, public_key text not null, fingerprint text not null,
      created_at bigint not null, primary key (user_id, name))`.execute(db);
    await sql`create table servers (
      id text primary key, project_id text not null, user_id text not null, name text not null, hostname text not null,
      description text, image_id text not null, flavor text not null, key_name text, public_key text, user_data text,
      metadata text not null, tags text not null, config_drive integer not null, nics text not null, availability_zone text,
      host text, reservation_id text not null, launch_index integer not null,
      vm_state text not null, task_state text, power_state integer not null, progress integer not null, fault text,
      locked integer not null, locked_reason text, access_ip_v4 text not null, access_ip_v6 text not null, disk_config text not null,
      operation_id text, launched_at bigint, terminated_at bigint, created_at bigint not null, updated_at bigint not null,
      deleted_at bigint, version bigint not null)`.execute(db);
    await sql`create index servers_project on servers (project_id, created_at desc, id) where deleted_at is null`.execute(
      db,
    );
    await sql`create index servers_host on servers (host) where deleted_at is null`.execute(db);
    await sql`create table hosts (
      id text primary key, name text not null unique, availability_zone text not null, enabled integer not null, disabled_reason text,
      vcpus integer not null, memory_mib integer not null, disk_gib integer not null, hypervisor_type text not null,
      hypervisor_version integer not null, cpu_model text not null, cpu_arch text not null, contract_version integer not null,
      seen_at bigint not null, created_at bigint not null, generation bigint not null)`.execute(db);
    await sql`create table allocations (
      server_id text primary key, host text not null, vcpus integer not null, memory_mib integer not null, disk_gib integer not null,
      created_at bigint not null)`.execute(db);
    await sql`create index allocations_host on allocations (host)`.execute(db);
  },
};
