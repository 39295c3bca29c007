/** Finding the server that a request is about. Another project's server does not exist. */
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
