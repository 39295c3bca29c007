/** `micronova op`: operations and their journal, straight from the record. */
import type { Database } from '#db/database.ts';
import {
  abandonOperation,
  cancelOperation,
  findOperation,
  journalOf,
  recentOperations,
  resumeOperation,
} from '#db/repo/operations.ts';
import type { OperationRow } from '#db/tables/journal.ts';
import type { ErrorData } from '#domain/errors.ts';
import type { Progress } from '#domain/operation/operation.ts';
import { CommandError } from './command-error.ts';
import { type RecordOptions as Options, withRecord } from './record.ts';
import { table } from './table.ts';

export async function list(options: Options & { readonly open?: boolean }): Promise<void> {
  await withRecord(options, async (db) => {
    const rows = await recentOperations(db.queries, { open: options.open ?? false, limit: 50 });
    const cells = rows.map((row) => [
      row.id,
      row.kind,
      row.state,
      progressOf(row),
      row.server_id,
      row.request_id,
      time(row.created_at),
    ]);
    process.stdout.write(table(['ID', 'KIND', 'STATE', 'PROGRESS', 'SERVER', 'REQUEST', 'ACCEPTED'], cells));
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
          ['progress', progressOf(row)],
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

/** A running cloud looks at its operations every second; one that does not run heeds it when it starts. */
export async function cancel(id: string, options: Options): Promise<void> {
  await withRecord(options, async (db) => {
    const row = await known(db, id);
    if (!(await cancelOperation(db.queries, id, "'micronova op cancel' asked for it", Date.now())))
      throw new CommandError(`operation ${row.id} (${row.kind}) is ${row.state}; it is over, or a deletion`);
    process.stdout.write(`operation ${id} is undone, unless it is past its point of no return\n`);
  });
}

/** A running cloud looks at its operations every second, so nothing needs to be told. */
export async function resume(id: string, options: Options): Promise<void> {
  await withRecord(options, async (db) => {
    const row = await known(db, id);
    if (!(await db.transaction((trx) => resumeOperation(trx, id, Date.now())))) throw notStuck(row);
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

/** The step that runs and how far it is. */
function progressOf(row: OperationRow): string {
  if (row.progress === null) return '-';
  const { step, done, total } = JSON.parse(row.progress) as Progress;
  return `${step} ${total === 0 ? 0 : Math.floor((100 * done) / total)} %`;
}

function notStuck(row: OperationRow): CommandError {
  return new CommandError(
    `operation ${row.id} is ${row.state}; only one that needs attention can be resumed or abandoned`,
  );
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}
