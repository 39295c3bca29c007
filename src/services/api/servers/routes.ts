/** Servers: create, list, show, update, delete. */
import type { StopInput } from '#contracts/operation-inputs.ts';
import { groupIdOf } from '#db/repo/server-groups.ts';
import { listServers, type ServerPatch, serversById, updateServer } from '#db/repo/servers.ts';
import type { ServerRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import type { TaskState, VmState } from '#domain/instance/states.ts';
import { checkAllowed, TRANSITIONS } from '#domain/instance/transitions.ts';
import { caller } from '#http/auth.ts';
import { type Route, route, type ServiceRequest } from '#http/route.ts';
import type { ApiDeps } from '../api-deps.ts';
import { asBoolean } from '../loose-types.ts';
import { nextLink } from '../paging.ts';
import { accept, graceMsOf, guarded, isRunning } from './accept.ts';
import { AnswerMemo } from './answer-memo.ts';
import { acceptLaunch } from './create.ts';
import { filterOf, LIST_QUERY, pageOf } from './list-query.ts';
import { canonicalIpV6 } from './new-server.ts';
import { CREATE_SERVER, type CreateServer, type SchedulerHints, UPDATE_SERVER, type UpdateServer } from './schemas.ts';
import { type ServerNetworks, serverNetworks } from './server-networks.ts';
import { SERVER_KEYS, serverLinks, serverSummary, serverView } from './view.ts';
import { ViewCache } from './view-cache.ts';
import { onServer, visibleServer } from './visible-server.ts';

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
          const networks = await serverNetworks(
            db.queries,
            rows.map(({ id }) => id),
          );
          const whole = texts.map(({ id, text }) => withNetworks(text, networks(id)));
          const more = JSON.stringify(links(`${PATH}/detail`)).slice(1, -1);
          return `{"servers":[${whole.join(',')}]${more === '' ? '' : `,${more}`}}`;
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
        const body = request.body as { server: CreateServer } & Readonly<Record<string, unknown>>;
        const wanted = body.server;
        const hints = (body['os:scheduler_hints'] ?? body['OS-SCH-HNT:scheduler_hints'] ?? {}) as SchedulerHints;
        const token = String(request.raw.headers['x-auth-token']);
        const { reservationId, servers } = await acceptLaunch(deps, caller(request), wanted, {
          requestId: request.requestId,
          token,
          hints,
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
      handle: async (request) => ({ body: { server: await shown(deps, request, false) } }),
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
          ...(wanted.accessIPv6 !== undefined && { access_ip_v6: canonicalIpV6(wanted.accessIPv6 ?? '') }),
          ...(wanted['OS-DCF:diskConfig'] !== undefined && { disk_config: wanted['OS-DCF:diskConfig'] }),
        };
        if (Object.keys(patch).length > 0) await updateServer(db.queries, row.id, patch, deps.now());
        return { body: { server: await shown(deps, request, true) } };
      },
    }),
    route({
      method: 'DELETE',
      path: `${PATH}/:id`,
      doc: 'Terminates a server, whatever it is doing.',
      access: { rule: 'os_compute_api:servers:delete', role: 'member' },
      success: 204,
      handle: (request) => onServer(deps, request, (row) => remove(deps, request, row)),
    }),
  ];
}

/** A server's text with what changes beside its row. */
function withNetworks(text: string, { addresses, securityGroups }: ServerNetworks): string {
  const more = {
    addresses,
    ...(securityGroups.length > 0 && { security_groups: securityGroups.map((name) => ({ name })) }),
  };
  return `${text.slice(0, -1)},${JSON.stringify(more).slice(1)}`;
}

/** Begins a deletion, unless the server is on its way already. */
async function remove(
  deps: ApiDeps,
  request: ServiceRequest<unknown, unknown>,
  row: ServerRow,
): Promise<Record<string, never>> {
  checkAllowed('delete', guarded(row), caller(request));
  const { deletesSoftly } = deps.lifecycle;
  const { vm_state: vmState, task_state: task } = row;
  // It is on its way already, or as deleted as it can be for now: the wish is granted.
  if (task === 'deleting' || task === 'soft-deleting') return {};
  if (deletesSoftly && vmState === 'soft-delete' && task === null) return {};
  if (deletesSoftly && (vmState === 'resized' || isIn(TRANSITIONS.resize.tasks, task))) {
    const reason = `Instance ${row.id} is moved: confirm or revert that before it is deleted, or use forceDelete.`;
    throw new CloudError('conflict', { reason });
  }
  const from: readonly VmState[] = TRANSITIONS.softDelete.from;
  // What is being shelved may have left its host before that can be ended.
  const staysOnHost = row.host !== null && !isIn(TRANSITIONS.shelve.tasks, task);
  const isSoft = deletesSoftly && staysOnHost && from.includes(vmState);
  const input: StopInput = { graceMs: graceMsOf(deps, row), wasRunning: isRunning(row) };
  await accept(deps, request, row, isSoft ? { kind: 'softDelete', input, ifSameTask: true } : { kind: 'delete' });
  return {};
}

function isIn(tasks: readonly TaskState[], task: TaskState | null): boolean {
  return task !== null && tasks.includes(task);
}

async function shown(
  deps: ApiDeps,
  request: ServiceRequest<unknown, unknown>,
  afterUpdate: boolean,
): Promise<Record<string, unknown>> {
  const row = await visibleServer(deps, request);
  const { version, base } = request;
  const groupId = version >= 71 ? await groupIdOf(deps.db.queries, row.id) : null;
  const networks = (await serverNetworks(deps.db.queries, [row.id]))(row.id);
  const viewer = { version, isAdmin: caller(request).isAdmin, base, groupId, networks };
  return serverView(row, viewer, { single: true, afterUpdate });
}
