/**
 * Instance actions: what was done with a server, from the operations and their journal. Nothing is kept twice: an
 * action is an operation, an event is a step.
 */
import { Type } from 'typebox';
import { cancelOperation, findOperationByRequest, journalOf, listOperations, OBSERVED } from '#db/repo/operations.ts';
import { findServerEver } from '#db/repo/servers.ts';
import type { ServerRow } from '#db/tables/compute.ts';
import type { JournalRow, OperationRow } from '#db/tables/journal.ts';
import { CloudError, type ErrorData } from '#domain/errors.ts';
import { actionOf } from '#domain/instance/transitions.ts';
import type { Progress } from '#domain/operation/operation.ts';
import { caller } from '#http/auth.ts';
import { type Route, route, type ServiceRequest } from '#http/route.ts';
import type { ApiDeps } from '../api-deps.ts';
import { lastOf, limitOf, nextLink, PagingQuery, repeatable } from '../paging.ts';
import { micros } from '../times.ts';

const PATH = '/v2.1/servers/:id/os-instance-actions';
const TimeText = Type.Optional(repeatable(Type.String({ maxLength: 40 })));

export function instanceActionRoutes(deps: ApiDeps): Route[] {
  const { queries } = deps.db;
  return [
    route({
      method: 'GET',
      path: PATH,
      doc: 'Lists what was done with a server, newest first; from 2.21 on also of a deleted one.',
      access: { rule: 'os_compute_api:os-instance-actions:list', role: 'reader' },
      query: Type.Object({ ...PagingQuery, 'changes-since': TimeText, 'changes-before': TimeText }),
      success: 200,
      handle: async (request) => {
        const row = await server(deps, request);
        const operations = await listOperations(queries, row.id);
        const marker = request.version >= 58 ? lastOf(request.query.marker) : undefined;
        const from = marker === undefined ? 0 : operations.findIndex((each) => each.request_id === marker) + 1;
        if (marker !== undefined && from === 0)
          throw new CloudError('badRequest', { reason: `marker [${marker}] not found` });
        const limit = request.version >= 58 ? limitOf(request.query) : operations.length;
        const shown = operations.slice(from, from + limit);
        const links = nextLink(
          'links',
          from + limit < operations.length,
          `${request.base}/v2.1/servers/${row.id}/os-instance-actions`,
          request.query,
          shown.at(-1)?.request_id,
        );
        return {
          body: {
            instanceActions: shown.map((operation) => actionView(operation, request.version)),
            ...('links_links' in links && { links: links.links_links }),
          },
        };
      },
    }),
    route({
      method: 'GET',
      path: `${PATH}/:requestId`,
      doc: 'Shows one action with its events: the steps, their times, and how far a running one is.',
      access: { rule: 'os_compute_api:os-instance-actions:show', role: 'reader' },
      success: 200,
      handle: async (request) => {
        const row = await server(deps, request);
        const requestId = request.params.requestId ?? '';
        const operation = await findOperationByRequest(queries, row.id, requestId);
        if (!operation)
          throw new CloudError('notFound', { what: 'Action for request_id', id: `${requestId} on instance ${row.id}` });
        const { isAdmin } = caller(request);
        const view = actionView(operation, request.version);
        // Until 2.50 only administrators see the events.
        if (request.version < 51 && !isAdmin) return { body: { instanceAction: view } };
        const events = eventsOf(await journalOf(queries, operation.id), operation, { ...request, isAdmin });
        return { body: { instanceAction: { ...view, events } } };
      },
    }),
    route({
      method: 'DELETE',
      path: `${PATH}/:requestId`,
      doc: 'Cancels an action that has not ended and is no deletion: what it did is undone. Past its point of no return it goes on to its end.',
      access: { rule: 'os_compute_api:os-instance-actions:cancel', role: 'member' },
      success: 202,
      handle: async (request) => {
        const row = await server(deps, request);
        const auth = caller(request);
        const requestId = request.params.requestId ?? '';
        const operation = await findOperationByRequest(queries, row.id, requestId);
        if (!operation)
          throw new CloudError('notFound', { what: 'Action for request_id', id: `${requestId} on instance ${row.id}` });
        if (row.locked === 1 && !auth.isAdmin) throw new CloudError('instanceLocked', { id: row.id });
        if (!(await cancelOperation(queries, operation.id, `${auth.userName} asked for it`, deps.now()))) {
          const reason = `Action ${actionOf(operation.kind)} of request ${requestId} cannot be cancelled: it is over, or a deletion.`;
          throw new CloudError('conflict', { reason });
        }
        deps.announce([{ operationId: operation.id, requestId: request.requestId }]);
        return {};
      },
    }),
  ];
}

async function server(deps: ApiDeps, request: ServiceRequest<unknown, unknown>): Promise<ServerRow> {
  const auth = caller(request);
  const id = request.params.id ?? '';
  const row = await findServerEver(deps.db.queries, id, auth.isAdmin ? null : auth.projectId);
  if (!row || (row.deleted_at !== null && request.version < 21)) throw new CloudError('instanceNotFound', { id });
  return row;
}

function actionView(operation: OperationRow, version: number): Record<string, unknown> {
  return {
    action: actionOf(operation.kind),
    instance_uuid: operation.server_id,
    request_id: operation.request_id,
    user_id: operation.user_id,
    project_id: operation.project_id,
    start_time: micros(operation.created_at),
    message: operation.error === null ? null : (JSON.parse(operation.error) as ErrorData).message,
    ...(version >= 58 && { updated_at: micros(operation.updated_at) }),
  };
}

/** Steps as events, in their order; a step that was tried or taken back more than once is one event. */
function eventsOf(
  journal: readonly JournalRow[],
  operation: OperationRow,
  viewer: { readonly version: number; readonly isAdmin: boolean },
) {
  const progress = operation.progress === null ? null : (JSON.parse(operation.progress) as Progress);
  return [...Map.groupBy(journal, (entry) => entry.step)].map(([step, entries]) => {
    const failure = entries.find((entry) => entry.event === 'failed' || entry.event === 'undo_failed');
    const last = entries.at(-1);
    const over = entries.some((entry) => entry.event === 'done' || entry.event === 'failed');
    const result = failure ? 'Error' : over ? 'Success' : null;
    const details = failure
      ? messageOf(failure)
      : progress?.step === step
        ? `${progress.done} of ${progress.total} ${progress.unit}`
        : observationOf(entries);
    return {
      event: `conductor_${step}`,
      start_time: micros(entries[0]?.at ?? operation.created_at),
      finish_time: over && last ? micros(last.at) : null,
      result,
      traceback: failure && viewer.isAdmin ? messageOf(failure) : null,
      ...(viewer.version >= 62 && { hostId: '', ...(viewer.isAdmin && { host: null }) }),
      ...(viewer.version >= 84 && { details }),
    };
  });
}

/** What was seen of something that happened by itself. */
function observationOf(entries: readonly JournalRow[]): string | null {
  const seen = entries.find((entry) => entry.step === OBSERVED)?.data;
  return seen ? (JSON.parse(seen) as { details: string }).details : null;
}

function messageOf(entry: JournalRow): string {
  return entry.data === null ? 'failed' : (JSON.parse(entry.data) as ErrorData).message;
}
