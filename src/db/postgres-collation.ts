/**
 * Text is compared byte by byte, whatever language the database was made for: lists and their pages then have the same
 * order on every engine, and a new version of the system's language files spoils no index.
 */
import { type Kysely, sql } from 'kysely';
import type { Schema } from './database.ts';

/** Any number, the same for all of us. */
const LOCK = 7_411_815_205;

interface Column {
  readonly table_name: string;
  readonly column_name: string;
}

/** Runs after migrations, which are written for both engines and say nothing of it. Costs one query when all is done. */
export async function compareBytewise(db: Kysely<Schema>): Promise<void> {
  if ((await otherColumns(db)).length === 0) return;
  await db.transaction().execute(async (trx) => {
    await sql`select pg_advisory_xact_lock(${sql.lit(LOCK)})`.execute(trx);
    const byTable = Map.groupBy(await otherColumns(trx), ({ table_name }) => table_name);
    for (const [table, columns] of byTable) {
      const changes = columns.map(({ column_name }) => sql`alter column ${sql.ref(column_name)} type text collate "C"`);
      await sql`alter table ${sql.table(table)} ${sql.join(changes)}`.execute(trx);
    }
  });
}

/** Text columns of our schema that are compared as some language does it. */
async function otherColumns(db: Kysely<Schema>): Promise<Column[]> {
  const { rows } = await sql<Column>`
    select table_name, column_name from information_schema.columns
    where table_schema = current_schema() and data_type = 'text' and collation_name is distinct from 'C'
    order by table_name, ordinal_position`.execute(db);
  return rows;
}
