/**
 * The database that a test has for itself: SQLite in memory, or PostgreSQL where `MICRONOVA_TEST_DATABASE` says so.
 * (`postgres`). One server for the whole process, started when it is first needed.
 */
import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { openSqlite } from '#db/sqlite.ts';
import { PostgresCluster } from '#local/postgres.ts';
import type { Database } from '../database.ts';
import { openPostgres } from '../postgres.ts';

/** Whether tests run on PostgreSQL. */
export const IS_POSTGRES = process.env.MICRONOVA_TEST_DATABASE === 'postgres';

/** Migrated once, copied for each test. */
const TEMPLATE = 'micronova_template';

/** An empty, migrated database, gone when it is closed. */
export async function openTestDatabase(): Promise<Database> {
  return IS_POSTGRES ? openTestPostgres() : openSqlite(':memory:');
}

/** The same on PostgreSQL, whatever the variable says. */
export async function openTestPostgres(): Promise<Database> {
  const taken = await takeDatabase();
  const db = await openPostgres(taken.url);
  return {
    ...db,
    close: async () => {
      await db.close();
      await taken.giveBack();
    },
  };
}

export interface TakenDatabase {
  readonly url: string;
  giveBack(): Promise<void>;
}

/** Given back and emptied: that takes a hundredth of the time that making one takes. */
const free: string[] = [];

/** An empty, migrated PostgreSQL database to be opened, perhaps more than once. Its schema must not be changed. */
export async function takeDatabase(): Promise<TakenDatabase> {
  const cluster = await server();
  const name = free.pop() ?? (await newDatabase(`template ${TEMPLATE}`));
  const url = cluster.url(name);
  return {
    url,
    giveBack: async () => {
      await within(url, (client) => client.query(EMPTY));
      free.push(name);
    },
  };
}

/** One that nobody has migrated; it stays until the server goes. */
export async function emptyDatabase(): Promise<string> {
  return (await server()).url(await newDatabase('template template0'));
}

/** Every table as the migrations left it, and nobody connected who might write on. */
const EMPTY = `
  select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid();
  set session_replication_role = replica;
  do $$ declare t text; begin
    for t in select tablename from pg_tables where schemaname = 'pristine' loop
      execute format('delete from public.%I', t);
      execute format('insert into public.%I select * from pristine.%I', t, t);
    end loop;
  end $$`;

/** Keeps how the migrations left every table. */
const KEEP_PRISTINE = `
  create schema pristine;
  do $$ declare t text; begin
    for t in select tablename from pg_tables where schemaname = 'public' and tablename not like 'kysely%' loop
      execute format('create table pristine.%I as table public.%I', t, t);
    end loop;
  end $$`;

let prepared: Promise<PostgresCluster> | undefined;

/** The server, once the template is there. */
function server(): Promise<PostgresCluster> {
  prepared ??= prepare();
  return prepared;
}

async function prepare(): Promise<PostgresCluster> {
  const cluster = await PostgresCluster.create();
  await within(cluster.url('postgres'), (client) => client.query(`create database ${TEMPLATE}`));
  await (await openPostgres(cluster.url(TEMPLATE))).close();
  await within(cluster.url(TEMPLATE), (client) => client.query(KEEP_PRISTINE));
  return cluster;
}

/** Answers its name. */
async function newDatabase(from: string): Promise<string> {
  const cluster = await server();
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  await within(cluster.url('postgres'), (client) => client.query(`create database ${name} ${from}`));
  return name;
}

/** A connection for each: one that was kept would keep the process. */
async function within(url: string, work: (client: Client) => Promise<unknown>): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}
