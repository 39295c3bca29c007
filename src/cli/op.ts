/** `micronova op`: operations and their journal, straight from the record. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Database } from '#db/database.ts';
import { abandonOperation, findOperation, journalOf, recentOperations, resumeOperation } from '#db/repo/operations.ts';
import { openSqlite } from '#db/sqlite.ts';
import type { OperationRow } from '#db/tables/journal.ts';
import type { ErrorData } from '#domain/errors.ts';
import { CommandError } from './command-error.ts';
import { table } from './table.ts';

interface Options {
  readonly data: string;
}

export async function list(options: Options & { readonly open?: boolean }): Promise<void> {
  await withRecord(options, async (db) => {
    const rows = await recentOperations(db.queries, { open: options.open ?? false, limit: 50 });
    const cells = rows.map((row) => [row.id, row.kind, row.state, row.server_id, row.request_id, time(row.created_at)]);
    process.stdout.write(table(['ID', 'KIND', 'STATE', 'SERVER', 'REQUEST', 'ACCEPTED'], cells));
  });
}

export async function show(id: string, options: Options): Promise<void> {
  await withRecord(options, async (db) => {
    const row = await known(db, id);
    process.stdout.write(
      table(
        ['FIELD', 'VALUE'],
        [
          ['id', row.id],
          ['kind', row.kind],
          ['state', row.state],
          ['server', row.server_id],
          ['request', row.request_id],
          ['accepted', time(row.created_at)],
          ['ended', row.finished_at === null ? '-' : time(row.finished_at)],
          ['error', row.error === null ? '-' : (JSON.parse(row.error) as ErrorData).message],
        ],
      ),
    );
    const journal = await journalOf(db.queries, id);
    process.stdout.write(
      `\n${table(
        ['TIME', 'STEP', 'EVENT', 'DATA'],
        journal.map((entry) => [time(entry.at), entry.step, entry.event, entry.data ?? '']),
      )}`,
    );
  });
}

/** A running cloud looks at its operations every second, so nothing needs to be told. */
export async function resume(id: string, options: Options): Promise<void> {
  await withRecord(options, async (db) => {
    const row = await known(db, id);
    if (!(await resumeOperation(db.queries, id, Date.now()))) throw notStuck(row);
    process.stdout.write(`operation ${id} goes on\n`);
  });
}

export async function abandon(id: string, options: Options): Promise<void> {
  await withRecord(options, async (db) => {
    const row = await known(db, id);
    if (!(await db.transaction((trx) => abandonOperation(trx, id, Date.now())))) throw notStuck(row);
    process.stdout.write(`operation ${id} is abandoned; what it left behind of server ${row.server_id} is yours\n`);
  });
}

async function known(db: Database, id: string): Promise<OperationRow> {
  const row = await findOperation(db.queries, id);
  if (!row) throw new CommandError(`there is no operation ${id}`);
  return row;
}

function notStuck(row: OperationRow): CommandError {
  return new CommandError(
    `operation ${row.id} is ${row.state}; only one that needs attention can be resumed or abandoned`,
  );
}

async function withRecord(options: Options, work: (db: Database) => Promise<void>): Promise<void> {
  const path = join(options.data, 'micronova.sqlite');
  if (!existsSync(path)) throw new CommandError(`no cloud in ${options.data}`);
  const db = await openSqlite(path);
  try {
    await work(db);
  } finally {
    await db.close();
  }
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}
