/** Servers: create, list, show, update, delete. */
import { randomUUID } from 'node:crypto';
import { VERSIONS } from '#contracts/operation-inputs.ts';
import { insertOperation, type NewOperation, takeServer } from '#db/repo/operations.ts';
import { listServers, type ServerPatch, serversById, updateServer } from '#db/repo/servers.ts';
import type { ServerRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import { checkAllowed } from '#domain/instance/states.ts';
import { caller } from '#http/auth.ts';
import { type Route, route, type ServiceRequest } from '#http/route.ts';
import type { ApiDeps } from '../api-deps.ts';
import { asBoolean } from '../loose-types.ts';
import { nextLink } from '../paging.ts';
import { AnswerMemo } from './answer-memo.ts';
import { acceptLaunch } from './create.ts';
import { filterOf, LIST_QUERY, pageOf } from './list-query.ts';
import { CREATE_SERVER, type CreateServer, UPDATE_SERVER, type UpdateServer } from './schemas.ts';
import { SERVER_KEYS, serverLinks, serverSummary, serverView } from './view.ts';
import { ViewCache } from './view-cache.ts';
import { visibleServer } from './visible-server.ts';

const PATH = '/v2.1/servers';

export function serverRoutes(deps: ApiDeps): Route[] {
  const { db } = deps;
  const cache = new ViewCache();
  const memo = new AnswerMemo(db);

  const refs = async (request: ServiceRequest<unknown, unknown>) => {
    const auth = caller(request);
    // Every known parameter is text or a list of texts; the schema saw to it.
    const query = request.query as Record<string, string | string[] | undefined>;
    const page = await pageOf(db.queries, query, auth);
    const rows = await listServers(db.queries, filterOf(query, auth, request.version), page);
    return {
      auth,
      rows,
      links: (path: string) =>
        nextLink('servers', rows.length === page.limit, request.base + path, query, rows.at(-1)?.id),
    };
  };

  return [
    route({
      method: 'GET',
      path: PATH,
      doc: 'Lists servers: id, name, links.',
      access: { rule: 'os_compute_api:servers:index', role: 'reader' },
      query: LIST_QUERY,
      success: 200,
      handle: async (request) => {
        const { rows, links } = await refs(request);
        return { body: { servers: rows.map((row) => serverSummary(row, request.base)), ...links(PATH) } };
      },
    }),
    route({
      method: 'GET',
      path: `${PATH}/detail`,
      doc: 'Lists servers with everything about them.',
      access: { rule: 'os_compute_api:servers:detail', role: 'reader' },
      query: LIST_QUERY,
      success: 200,
      answerKeys: SERVER_KEYS,
      handle: async (request) => {
        const { projectId, isAdmin } = caller(request);
        const { version, base } = request;
        const key = `${request.raw.url} ${projectId} ${isAdmin} ${version} ${base}`;
        const body = await memo.answer(key, async () => {
          const { rows, links } = await refs(request);
          const viewer = { version, isAdmin, base };
          const texts = await cache.render(
            rows,
            `${version} ${isAdmin} ${base} `,
            (ids) => serversById(db.queries, ids),
            (row) => serverView(row, viewer, { single: false }),
          );
          const more = JSON.stringify(links(`${PATH}/detail`)).slice(1, -1);
          return `{"servers":[${texts.join(',')}]${more === '' ? '' : `,${more}`}}`;
        });
        return { body };
      },
    }),
    route({
      method: 'POST',
      path: PATH,
      doc: 'Launches one server or several alike.',
      access: { rule: 'os_compute_api:servers:create', role: 'member' },
      body: CREATE_SERVER,
      success: 202,
      handle: async (request) => {
        // Checked against the schema in force at the request's version.
        const wanted = (request.body as { server: CreateServer }).server;
        const token = String(request.raw.headers['x-auth-token']);
        const { reservationId, servers } = await acceptLaunch(deps, caller(request), wanted, {
          requestId: request.requestId,
          token,
        });
        if (asBoolean(wanted.return_reservation_id ?? false)) return { body: { reservation_id: reservationId } };
        const [first] = servers;
        if (!first) throw new Error('a launch of no servers was accepted');
        return {
          headers: { location: `${request.base}${PATH}/${first.id}` },
          body: {
            server: {
              id: first.id,
              links: serverLinks(first.id, request.base),
              'OS-DCF:diskConfig': wanted['OS-DCF:diskConfig'] ?? 'MANUAL',
              security_groups: [{ name: 'default' }],
              adminPass: first.adminPass,
            },
          },
        };
      },
    }),
    route({
      method: 'GET',
      path: `${PATH}/:id`,
      doc: 'Shows a server.',
      access: { rule: 'os_compute_api:servers:show', role: 'reader' },
      success: 200,
      answerKeys: SERVER_KEYS,
      handle: async (request) => ({ body: { server: shown(await visibleServer(deps, request), request, false) } }),
    }),
    route({
      method: 'PUT',
      path: `${PATH}/:id`,
      doc: 'Changes name, description, access addresses, hostname.',
      access: { rule: 'os_compute_api:servers:update', role: 'member' },
      body: UPDATE_SERVER,
      success: 200,
      answerKeys: SERVER_KEYS,
      handle: async (request) => {
        const row = await visibleServer(deps, request);
        const wanted = (request.body as { server: UpdateServer }).server;
        const patch: ServerPatch = {
          ...(wanted.name !== undefined && { name: wanted.name }),
          ...(wanted.description !== undefined && { description: wanted.description }),
          ...(wanted.hostname !== undefined && { hostname: wanted.hostname }),
          ...(wanted.accessIPv4 !== undefined && { access_ip_v4: wanted.accessIPv4 ?? '' }),
          ...(wanted.accessIPv6 !== undefined && { access_ip_v6: wanted.accessIPv6 ?? '' }),
          ...(wanted['OS-DCF:diskConfig'] !== undefined && { disk_config: wanted['OS-DCF:diskConfig'] }),
        };
        if (Object.keys(patch).length > 0) await updateServer(db.queries, row.id, patch, deps.now());
        return { body: { server: shown(await visibleServer(deps, request), request, true) } };
      },
    }),
    route({
      method: 'DELETE',
      path: `${PATH}/:id`,
      doc: 'Terminates a server, whatever it is doing.',
      access: { rule: 'os_compute_api:servers:delete', role: 'member' },
      success: 204,
      handle: async (request) => {
        const row = await visibleServer(deps, request);
        checkAllowed('delete', guarded(row), caller(request));
        // It is on its way already: the wish is granted.
        if (row.task_state === 'deleting') return {};
        await acceptOn(deps, request, row, { kind: 'delete', version: VERSIONS.delete, input: {} });
        return {};
      },
    }),
  ];
}

/** A row as the state table's guard sees it. */
export function guarded(row: ServerRow) {
  return { id: row.id, vmState: row.vm_state, taskState: row.task_state, locked: row.locked === 1 };
}

/** Accepts an operation on an existing server: one transaction, then the conductor is woken. Answers its id. */
export async function acceptOn(
  deps: ApiDeps,
  request: ServiceRequest<unknown, unknown>,
  row: ServerRow,
  wanted: Pick<NewOperation, 'kind' | 'version' | 'input'>,
): Promise<string> {
  const now = deps.now();
  const operation: NewOperation = {
    ...wanted,
    id: randomUUID(),
    serverId: row.id,
    projectId: row.project_id,
    userId: caller(request).userId,
    requestId: request.requestId,
    secrets: {},
  };
  await deps.db.commit(async (trx) => {
    await takeServer(trx, row, operation, now);
    await insertOperation(trx, operation, now);
  });
  deps.announce([{ operationId: operation.id, requestId: operation.requestId }]);
  return operation.id;
}

function shown(
  row: ServerRow | undefined,
  request: ServiceRequest<unknown, unknown>,
  afterUpdate: boolean,
): Record<string, unknown> {
  if (!row) throw new CloudError('instanceNotFound', { id: request.params.id ?? '' });
  const viewer = { version: request.version, isAdmin: caller(request).isAdmin, base: request.base };
  return serverView(row, viewer, { single: true, afterUpdate });
}
