/** All moves of servers, as operators look at them. Source: Nova's API reference, "Migrations". */
import { Type } from 'typebox';
import { findMigration, listMigrations } from '#db/repo/migration-list.ts';
import { CloudError } from '#domain/errors.ts';
import { type Route, route } from '#http/route.ts';
import type { ApiDeps } from '../api-deps.ts';
import { askedTime } from '../asked-time.ts';
import { lastOf, limitOf, MAX_LIMIT, markerNotFound, nextLink, PagingQuery, repeatable } from '../paging.ts';
import { migrationView } from './view.ts';

const Text = Type.Optional(repeatable(Type.String({ maxLength: 255 })));

const v1 = {
  hidden: Text,
  host: Text,
  instance_uuid: Text,
  source_compute: Text,
  status: Text,
  migration_type: Text,
};
const v59 = { ...v1, ...PagingQuery, 'changes-since': Text };
const v66 = { ...v59, 'changes-before': Text };
const v80 = { ...v66, user_id: Text, project_id: Text };

const LIST_QUERY = [
  { from: 1, schema: Type.Object(v1, { additionalProperties: true }) },
  { from: 59, schema: Type.Object(v59, { additionalProperties: false }) },
  { from: 66, schema: Type.Object(v66, { additionalProperties: false }) },
  { from: 80, schema: Type.Object(v80, { additionalProperties: false }) },
];
type ListQuery = Readonly<Record<keyof typeof v80, string | string[] | undefined>>;

const PATH = '/v2.1/os-migrations';

export function migrationRoutes({ db }: ApiDeps): Route[] {
  return [
    route({
      method: 'GET',
      path: PATH,
      doc: 'Lists moves of servers, newest first: migrations, live ones, resizes, evacuations.',
      access: { rule: 'os_compute_api:os-migrations:index', role: 'admin' },
      query: LIST_QUERY,
      success: 200,
      handle: async (request) => {
        const { version, base } = request;
        // Every known parameter is text or a list of texts; the schema saw to it.
        const query = request.query as ListQuery;
        const asked = (name: keyof ListQuery, from: number) => (version >= from ? lastOf(query[name]) : undefined);
        const changedSince = askedTime('changes-since', asked('changes-since', 59));
        const changedBefore = askedTime('changes-before', asked('changes-before', 66));
        if (changedSince !== undefined && changedBefore !== undefined && changedBefore < changedSince)
          throw new CloudError('badRequest', {
            reason: 'The value of changes-since must be less than or equal to changes-before.',
          });
        const marker = asked('marker', 59);
        const after = marker === undefined ? undefined : await findMigration(db.queries, marker);
        if (marker !== undefined && !after) throw markerNotFound(marker);
        const limit = version >= 59 ? limitOf(query) : MAX_LIMIT;
        const rows = await listMigrations(
          db.queries,
          {
            host: asked('host', 1),
            sourceHost: asked('source_compute', 1),
            serverId: asked('instance_uuid', 1),
            status: asked('status', 1),
            type: asked('migration_type', 1),
            userId: asked('user_id', 80),
            projectId: asked('project_id', 80),
            changedSince,
            changedBefore,
          },
          { limit, after },
        );
        const isFull = version >= 59 && rows.length === limit;
        return {
          body: {
            migrations: rows.map((row) => migrationView(row, version, base)),
            ...nextLink('migrations', isFull, `${base}${PATH}`, query, rows.at(-1)?.uuid),
          },
        };
      },
    }),
  ];
}
