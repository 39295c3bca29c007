/** Accepting an operation on an existing server: guard, operation, task state and message in one transaction. */
import { randomUUID } from 'node:crypto';
import { CloudError } from '#domain/errors.ts';
import { commitUnique } from '../commit-unique.ts';
import type { Database, Queries } from '../database.ts';
import type { ServerRow } from '../tables/compute.ts';
import { insertOperation, type NewOperation, takeServer } from './operations.ts';
import { insertMigration, type NewMigration, takeMigration } from './server-migrations.ts';

/** What an operation means for the record of a move: it begins one, or decides on one that has finished. */
export type MoveOf = NewMigration | { readonly uuid: string; readonly status: 'confirming' | 'reverting' };

/**
 * Throws `instanceChanged` when the server is not any more as `row` says. `ifUnchanged`: also when anything else of it
 * has changed since, for those who act on what they have read a while ago. `ifSameTask`: also when something else is in flight.
 * Answers the operation.
 */
export async function acceptOperation(
  db: Database,
  row: ServerRow,
  wanted: Pick<NewOperation, 'kind' | 'version' | 'input' | 'requestId' | 'userId'> & Partial<NewOperation>,
  now: number,
  options: {
    readonly ifUnchanged?: true;
    readonly ifSameTask?: true;
    readonly move?: MoveOf;
    /** Its input, where that is only made now. */
    readonly inputIn?: (trx: Queries) => Promise<object>;
  } = {},
): Promise<NewOperation> {
  const operation: NewOperation = {
    id: randomUUID(),
    serverId: row.id,
    projectId: row.project_id,
    secrets: {},
    ...wanted,
  };
  await commitUnique(db, async (trx) => {
    await takeServer(trx, row, operation, now, options);
    const made = options.inputIn ? { input: await options.inputIn(trx) } : {};
    await insertOperation(trx, { ...operation, ...made }, now);
    if (options.move) await recordMove(trx, row, operation, options.move, now);
  });
  return operation;
}

async function recordMove(
  trx: Queries,
  row: ServerRow,
  { id: operationId, userId }: NewOperation,
  move: MoveOf,
  now: number,
): Promise<void> {
  if ('status' in move) return takeMigration(trx, move.uuid, move.status, operationId, now);
  if (row.host === null) throw new CloudError('instanceNotReady', { id: row.id });
  await insertMigration(trx, { ...row, host: row.host }, move, { operationId, userId }, now);
}
