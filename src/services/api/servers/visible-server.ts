/** The server that a request is about. Another project's server does not exist. */
import { findServer } from '#db/repo/servers.ts';
import type { ServerRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import { caller } from '#http/auth.ts';
import type { ServiceRequest } from '#http/route.ts';
import type { ApiDeps } from '../api-deps.ts';

/** Throws 404 where there is none for this caller. Administrators see those of every project. */
export async function visibleServer(deps: ApiDeps, request: ServiceRequest<unknown, unknown>): Promise<ServerRow> {
  const auth = caller(request);
  const id = request.params.id ?? '';
  const row = await findServer(deps.db.queries, id, auth.isAdmin ? null : auth.projectId);
  if (!row) throw new CloudError('instanceNotFound', { id });
  return row;
}

/** Somebody else is faster once; more often only where many ask the same server for the same. */
const LOOKS = 3;

/**
 * Answers what `act` does with the server, which it gets anew when the server changed between being read and being taken (its
 * guest powered off at just that moment): the caller is refused for what it is then, if at all. Nothing has happened when `act`
 * throws `instanceChanged`.
 */
export async function onServer<Result>(
  deps: ApiDeps,
  request: ServiceRequest<unknown, unknown>,
  act: (row: ServerRow) => Promise<Result>,
): Promise<Result> {
  for (let look = 1; ; look += 1) {
    try {
      return await act(await visibleServer(deps, request));
    } catch (error) {
      const isLate = error instanceof CloudError && error.code === 'instanceChanged';
      if (!isLate || look === LOOKS) throw error;
    }
  }
}
