/**
 * Changing what its owner keeps with a server: metadata and tags, which are one column each.
 *
 * Read and written in one transaction, and transactions of the record are serial: of two changes of different keys at
 * the same moment both survive.
 */
import { findServer, type ServerPatch, updateServer } from '#db/repo/servers.ts';
import type { ServerRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import { caller } from '#http/auth.ts';
import type { ServiceRequest } from '#http/route.ts';
import type { ApiDeps } from '../api-deps.ts';

/** What to write (null: nothing) and what to answer. */
export interface Change<Result> {
  readonly patch: ServerPatch | null;
  readonly result: Result;
}

/** `decide` looks at the server as it is now and may refuse by throwing; it may be called more than once. */
export function changeInPlace<Result>(
  deps: ApiDeps,
  request: ServiceRequest<unknown, unknown>,
  decide: (row: ServerRow) => Change<Result>,
): Promise<Result> {
  const auth = caller(request);
  const id = request.params.id ?? '';
  return deps.db.commit(async (trx) => {
    const row = await findServer(trx, id, auth.isAdmin ? null : auth.projectId);
    if (!row) throw new CloudError('instanceNotFound', { id });
    const { patch, result } = decide(row);
    if (patch) await updateServer(trx, id, patch, deps.now());
    return result;
  });
}
