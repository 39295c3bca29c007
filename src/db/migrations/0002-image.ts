/** Images, their properties and tags, and the projects they are shared with. */
import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

export const image: Migration = {
  async up(db: Kysely<unknown>) {
    await sql`create table images (
      id text primary key, name text, status text not null, visibility text not null, owner text not null,
      protected integer not null, os_hidden integer not null, disk_format text, container_format text,
      min_disk integer not null, min_ram integer not null, size bigint, virtual_size bigint, checksum text, os_hash_value text,
      created_at bigint not null, updated_at bigint not null)`.execute(db);
    await sql`create index images_owner on images (owner, created_at)`.execute(db);
    await sql`create index images_visibility on images (visibility, created_at)`.execute(db);
    await sql`create table image_properties (
      image_id text not null references images(id) on delete cascade, name text not null, value text not null,
      primary key (image_id, name))`.execute(db);
    await sql`create table image_tags (
      image_id text not null references images(id) on delete cascade, tag text not null, primary key (image_id, tag))`.execute(
      db,
    );
    await sql`create table image_members (
      image_id text not null references images(id) on delete cascade, member_id text not null, status text not null,
      created_at bigint not null, updated_at bigint not null, primary key (image_id, member_id))`.execute(db);
    await sql`create index image_members_member on image_members (member_id)`.execute(db);
  },
};
