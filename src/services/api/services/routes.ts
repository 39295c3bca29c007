/**
 * Services: the compute hosts and the processes of the other roles. Only a compute host can be taken out of service; nobody would
 * heed it of another. Source: Nova's API reference, "Compute services".
 */
import { Type } from 'typebox';
import { aggregatesByHost } from '#db/repo/aggregates.ts';
import { changeHost, deleteHost, type HostSettings, isInUse } from '#db/repo/host-settings.ts';
import { listHosts } from '#db/repo/hosts.ts';
import { isMovingFromOrTo } from '#db/repo/server-migrations.ts';
import { deleteService, listServices } from '#db/repo/services.ts';
import { CloudError } from '#domain/errors.ts';
import { type Route, route } from '#http/route.ts';
import type { ApiDeps } from '../api-deps.ts';
import { asBoolean, LooseBoolean } from '../loose-types.ts';
import { lastOf, repeatable } from '../paging.ts';
import { byNameRoutes, onlyCompute, PATH } from './by-name.ts';
import { checkId } from './ids.ts';

import { computeView, serviceView } from './view.ts';

const strict = { additionalProperties: false };
const Reason = Type.String({ minLength: 1, maxLength: 255 });

const UPDATE = Type.Object(
  {
    status: Type.Optional(Type.Enum(['enabled', 'disabled'])),
    disabled_reason: Type.Optional(Reason),
    forced_down: Type.Optional(LooseBoolean),
  },
  strict,
);

const Text = Type.Optional(repeatable(Type.String({ maxLength: 255 })));
const known = { host: Text, binary: Text };
const LIST_QUERY = [
  { from: 1, schema: Type.Object(known, { additionalProperties: true }) },
  { from: 75, schema: Type.Object(known, strict) },
];
type ListQuery = Readonly<Record<keyof typeof known, string | string[] | undefined>>;

const RULE = 'os_compute_api:os-services';

export function serviceRoutes(deps: ApiDeps): Route[] {
  const { queries } = deps.db;
  const notThere = (id: string) => new CloudError('notFound', { what: 'Service', id });

  /** The host or the other process that the id of this microversion names. Throws 404. */
  const named = async (id: string, version: number) => {
    checkId(id, version, 'service');
    const isIt = (row: { readonly id: string; readonly number: number }) =>
      version >= 53 ? row.id === id : row.number === Number(id);
    const host = (await listHosts(queries)).find(isIt);
    const service = host ? undefined : (await listServices(queries)).find(isIt);
    if (!host && !service) throw notThere(id);
    return { host, service };
  };

  return [
    route({
      method: 'GET',
      path: PATH,
      doc: 'Lists the compute hosts and the processes of the other roles.',
      access: { rule: `${RULE}:list`, role: 'admin' },
      query: LIST_QUERY,
      success: 200,
      handle: async ({ query, version }) => {
        // Every known parameter is text or a list of texts; the schema saw to it.
        const { host, binary } = query as ListQuery;
        const viewer = { version, now: deps.now() };
        const aggregates = await aggregatesByHost(queries);
        const services = [
          ...(await listServices(queries)).map((row) => serviceView(row, viewer)),
          ...(await listHosts(queries)).map((row) => computeView(row, aggregates.get(row.name), viewer)),
        ];
        const fits = (wanted: string | undefined, value: unknown) => !wanted || wanted === value;
        const shown = services.filter((each) => fits(lastOf(host), each.host) && fits(lastOf(binary), each.binary));
        return { body: { services: shown } };
      },
    }),
    ...byNameRoutes(deps),
    route({
      method: 'PUT',
      path: `${PATH}/:id`,
      doc: 'Puts a compute host into service or out of it, or says that it is dead whatever its agent says.',
      access: { rule: `${RULE}:update`, role: 'admin' },
      from: 53,
      body: UPDATE,
      success: 200,
      handle: async ({ params, body, version }) => {
        const { host } = await named(params.id ?? '', version);
        if (!host) throw onlyCompute();
        const { status, disabled_reason: reason, forced_down: forcedDown } = body;
        if (status === undefined && forcedDown === undefined)
          throw new CloudError('badRequest', {
            reason: "No updates were requested. Fields 'status' or 'forced_down' should be specified.",
          });
        if (reason !== undefined && status !== 'disabled')
          throw new CloudError('badRequest', {
            reason: "Specifying 'disabled_reason' requires that status is 'disabled'.",
          });
        const settings: HostSettings = {
          ...(status && { enabled: status === 'enabled' ? 1 : 0, disabled_reason: reason ?? null }),
          ...(forcedDown !== undefined && { forced_down: asBoolean(forcedDown) ? 1 : 0 }),
        };
        const changed = await changeHost(queries, host.name, settings);
        if (!changed) throw notThere(host.id);
        const aggregates = await aggregatesByHost(queries, host.name);
        return { body: { service: computeView(changed, aggregates.get(host.name), { version, now: deps.now() }) } };
      },
    }),
    route({
      method: 'DELETE',
      path: `${PATH}/:id`,
      doc: 'Forgets a compute host that has no servers, or a process that is no more. Stop it before: one that runs comes back.',
      access: { rule: `${RULE}:delete`, role: 'admin' },
      success: 204,
      handle: async ({ params, version }) => {
        const { host, service } = await named(params.id ?? '', version);
        if (service) await deleteService(queries, service.id);
        if (!host) return {};
        await deps.db.transaction(async (trx) => {
          if (await isMovingFromOrTo(trx, host.name))
            throw new CloudError('conflict', {
              reason:
                'Unable to delete compute service that has in-progress migrations. Complete the migrations or delete the instances first.',
            });
          if (await isInUse(trx, host.name))
            throw new CloudError('conflict', {
              reason:
                'Unable to delete compute service that is hosting instances. Migrate or delete the instances first.',
            });
          await deleteHost(trx, host.name);
        });
        return {};
      },
    }),
  ];
}
