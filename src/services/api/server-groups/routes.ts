/** Server groups: sets of servers that are to share a host, or to keep apart. Source: Nova's API reference. */
import { randomUUID } from 'node:crypto';
import { type TSchema, Type } from 'typebox';
import {
  countServerGroups,
  deleteServerGroup,
  findServerGroup,
  insertServerGroup,
  listServerGroups,
  membersByGroup,
} from '#db/repo/server-groups.ts';
import type { ServerGroupRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import { caller } from '#http/auth.ts';
import { type Route, route, type ServiceRequest } from '#http/route.ts';
import type { ApiDeps } from '../api-deps.ts';
import { looseInteger, Name } from '../loose-types.ts';
import { lastOf, limitOf, PagingQuery, repeatable } from '../paging.ts';
import { projectQuota } from '../quotas/project-quota.ts';
import { serverGroupView } from './view.ts';

const strict = { additionalProperties: false };
const HARD = ['anti-affinity', 'affinity'] as const;
const ALL = [...HARD, 'soft-anti-affinity', 'soft-affinity'] as const;

const listed = (policies: readonly string[]): TSchema =>
  Type.Object(
    {
      server_group: Type.Object(
        { name: Name, policies: Type.Array(Type.Enum([...policies]), { minItems: 1, maxItems: 1 }) },
        strict,
      ),
    },
    strict,
  );

const CREATE = [
  { from: 1, schema: listed(HARD) },
  { from: 15, schema: listed(ALL) },
  {
    from: 64,
    schema: Type.Object(
      {
        server_group: Type.Object(
          {
            name: Name,
            policy: Type.Enum([...ALL]),
            rules: Type.Optional(Type.Object({ max_server_per_host: Type.Optional(looseInteger(1)) }, strict)),
          },
          strict,
        ),
      },
      strict,
    ),
  },
];

interface CreateBody {
  readonly name: string;
  readonly policies?: readonly [ServerGroupRow['policy']];
  readonly policy?: ServerGroupRow['policy'];
  readonly rules?: { readonly max_server_per_host?: number | string };
}

const known = {
  limit: PagingQuery.limit,
  offset: PagingQuery.limit,
  all_projects: Type.Optional(repeatable(Type.String({ maxLength: 255 }))),
};
const LIST_QUERY = [
  { from: 1, schema: Type.Object(known, { additionalProperties: true }) },
  { from: 75, schema: Type.Object(known, strict) },
];
type ListQuery = Readonly<Record<keyof typeof known, string | string[] | undefined>>;

const PATH = '/v2.1/os-server-groups';
const RULE = 'os_compute_api:os-server-groups';

export function serverGroupRoutes(deps: ApiDeps): Route[] {
  const { queries } = deps.db;
  const visibleGroup = async (request: ServiceRequest<unknown, unknown>): Promise<ServerGroupRow> => {
    const auth = caller(request);
    const id = request.params.id ?? '';
    const row = await findServerGroup(queries, id, auth.isAdmin ? null : auth.projectId);
    if (!row) throw new CloudError('notFound', { what: 'Instance group', id });
    return row;
  };

  return [
    route({
      method: 'GET',
      path: PATH,
      doc: 'Lists the server groups of the project.',
      access: { rule: `${RULE}:index`, role: 'reader' },
      query: LIST_QUERY,
      success: 200,
      handle: async (request) => {
        const auth = caller(request);
        // Every known parameter is text or a list of texts; the schema saw to it.
        const query = request.query as ListQuery;
        const isAll = query.all_projects !== undefined && auth.isAdmin;
        const limit = limitOf(query);
        const offset = Number(lastOf(query.offset) ?? 0);
        const rows = await listServerGroups(queries, { projectId: isAll ? null : auth.projectId, offset, limit });
        const ids = rows.map(({ id }) => id);
        const members = await membersByGroup(queries, ids);
        const shown = rows.map((row) => serverGroupView(row, members.get(row.id) ?? [], request.version));
        return { body: { server_groups: shown } };
      },
    }),
    route({
      method: 'POST',
      path: PATH,
      doc: 'Makes a server group; servers join it at launch, by the scheduler hint `group`.',
      access: { rule: `${RULE}:create`, role: 'member' },
      body: CREATE,
      success: 200,
      handle: async (request) => {
        const auth = caller(request);
        // Checked against the schema in force; the type is what all of them have in common.
        const wanted = (request.body as { server_group: CreateBody }).server_group;
        const policy = wanted.policy ?? wanted.policies?.[0] ?? 'anti-affinity';
        const perHost = wanted.rules?.max_server_per_host;
        if (policy !== 'anti-affinity' && perHost !== undefined)
          throw new CloudError('badRequest', { reason: 'Only anti-affinity policy supports rules.' });
        const row: ServerGroupRow = {
          id: randomUUID(),
          project_id: auth.projectId,
          user_id: auth.userId,
          name: wanted.name,
          policy,
          rules: JSON.stringify(perHost === undefined ? {} : { max_server_per_host: Number(perHost) }),
          created_at: deps.now(),
        };
        await deps.db.transaction(async (trx) => {
          const { serverGroups } = await projectQuota(trx, deps.quota, auth.projectId);
          if (serverGroups >= 0 && (await countServerGroups(trx, auth.projectId)) >= serverGroups)
            throw new CloudError('forbidden', { reason: 'Quota exceeded, too many server groups.' });
          await insertServerGroup(trx, row);
        });
        return { body: { server_group: serverGroupView(row, [], request.version) } };
      },
    }),
    route({
      method: 'GET',
      path: `${PATH}/:id`,
      doc: 'Shows a server group.',
      access: { rule: `${RULE}:show`, role: 'reader' },
      success: 200,
      handle: async (request) => {
        const row = await visibleGroup(request);
        const members = (await membersByGroup(queries, [row.id])).get(row.id) ?? [];
        return { body: { server_group: serverGroupView(row, members, request.version) } };
      },
    }),
    route({
      method: 'DELETE',
      path: `${PATH}/:id`,
      doc: 'Deletes a server group. Its servers stay where they are.',
      access: { rule: `${RULE}:delete`, role: 'member' },
      success: 204,
      handle: async (request) => {
        const row = await visibleGroup(request);
        if (!(await deleteServerGroup(queries, row.id)))
          throw new CloudError('notFound', { what: 'Instance group', id: row.id });
        return {};
      },
    }),
  ];
}
