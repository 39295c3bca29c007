/** Accepting an operation on a server for a caller: the state table's guard, one transaction, then the conductor is woken. */
import { VERSIONS } from '#contracts/operation-inputs.ts';
import type { Queries } from '#db/database.ts';
import { acceptOperation, type MoveOf } from '#db/repo/accept.ts';
import type { ServerRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import { checkAllowed } from '#domain/instance/transitions.ts';
import type { OperationKind } from '#domain/operation/operation.ts';
import { caller } from '#http/auth.ts';
import type { ServiceRequest } from '#http/route.ts';
import type { ApiDeps } from '../api-deps.ts';

/** What can be asked of a server that is on no host: one that never came to any, or left it. */
const NEEDS_NO_HOST: ReadonlySet<OperationKind> = new Set(['delete', 'forceDelete', 'unshelve']);

/** A row as the state table's guard sees it. */
export function guarded(row: ServerRow) {
  return { id: row.id, vmState: row.vm_state, taskState: row.task_state, locked: row.locked === 1 };
}

/** Answers the operation's id. Throws the 409 of the state table where it may not begin now. */
export async function accept(
  deps: ApiDeps,
  request: ServiceRequest<unknown, unknown>,
  row: ServerRow,
  wanted: {
    readonly kind: OperationKind;
    readonly input?: unknown;
    /** The input of something that is made in the transaction that accepts it. */
    readonly inputIn?: (trx: Queries) => Promise<object>;
    /** Kept out of the journal, gone when the operation has ended. */
    readonly secrets?: Readonly<Record<string, string>>;
    /** What it means for the record of a move. */
    readonly move?: MoveOf;
    /** What is in flight decides whether it is this that is wanted. */
    readonly ifSameTask?: true;
  },
): Promise<string> {
  const { userId } = caller(request);
  const { kind, input = {}, secrets = {} } = wanted;
  checkAllowed(kind, guarded(row), caller(request));
  if (row.host === null && !NEEDS_NO_HOST.has(kind)) throw new CloudError('instanceNotReady', { id: row.id });
  const { requestId } = request;
  const asked = { kind, version: VERSIONS[kind], input, secrets, requestId, userId };
  const { move, inputIn, ifSameTask } = wanted;
  const options = { ...(move && { move }), ...(inputIn && { inputIn }), ...(ifSameTask && { ifSameTask }) };
  const operation = await acceptOperation(deps.db, row, asked, deps.now(), options);
  deps.announce([{ operationId: operation.id, requestId }]);
  return operation.id;
}

/** How long the guest may take to shut down in order: what its image says (`os_shutdown_timeout`, seconds), else the cloud. */
export function graceMsOf(deps: ApiDeps, row: ServerRow): number {
  const wanted = imagePropertiesOf(row).os_shutdown_timeout;
  return wanted !== undefined && /^\d{1,4}$/.test(wanted) ? Number(wanted) * 1000 : deps.lifecycle.shutdownGraceMs;
}

export function imagePropertiesOf(row: ServerRow): Readonly<Record<string, string>> {
  return JSON.parse(row.image_properties) as Record<string, string>;
}

/** It runs, as far as the record knows; what an operation takes back then runs again. */
export function isRunning(row: ServerRow): boolean {
  return row.vm_state === 'active';
}
