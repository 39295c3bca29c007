/** Limits of projects: what an administrator has set, else the defaults. Usage is counted when somebody asks. */
import { Type } from 'typebox';
import {
  networkQuota,
  networkUsage,
  projectsWithQuota,
  resetNetworkQuota,
  setNetworkQuota,
} from '#db/repo/network/quotas.ts';
import { DEFAULT_NETWORK_QUOTA, NETWORK_RESOURCES, type NetworkQuota } from '#domain/network/quota.ts';
import { type Route, route } from '#http/route.ts';
import { mayRead, requireAdmin, type Who, whoOf } from './access.ts';
import type { NetworkDeps } from './deps.ts';
import { Text, Whole } from './resource/schemas.ts';
import { write } from './write.ts';

const Limit = Type.Optional(Whole(-1, 2 ** 31 - 1));
const QuotaBody = Type.Object(
  {
    quota: Type.Object(
      {
        ...Object.fromEntries(NETWORK_RESOURCES.map((name) => [name, Limit])),
        // Of what is not here; clients send it all the same.
        subnetpool: Limit,
        rbac_policy: Limit,
        tenant_id: Type.Optional(Text),
        project_id: Type.Optional(Text),
        force: Type.Optional(Type.Boolean()),
        check_limit: Type.Optional(Type.Boolean()),
      },
      { additionalProperties: false },
    ),
  },
  { additionalProperties: false },
);

/** Neutron lists limits of what there can be none of here, too: clients show them. */
const NOT_HERE = { subnetpool: -1, rbac_policy: 10 };
const quotaView = (quota: NetworkQuota) => ({ ...quota, ...NOT_HERE });

const ADMIN = { rule: 'update_quota', role: 'admin' } as const;

export function quotaRoutes(deps: NetworkDeps): readonly Route[] {
  const { db } = deps;
  const asked = (request: { readonly params: Readonly<Record<string, string>> }, who: Who): string => {
    const id = request.params.id ?? '';
    const projectId = id === 'project' || id === 'tenant' ? who.projectId : id;
    if (projectId !== who.projectId) requireAdmin(who, 'get_quota');
    return projectId;
  };
  const details = (path: string) =>
    route({
      method: 'GET',
      path,
      doc: 'Limits and usage of a project.',
      access: mayRead('get_quota'),
      success: 200,
      async handle(request) {
        const projectId = asked(request, whoOf(request));
        const limits = await networkQuota(db.queries, projectId);
        const used = await networkUsage(db.queries, projectId);
        const quota = NETWORK_RESOURCES.map((name) => [name, { limit: limits[name], used: used[name], reserved: 0 }]);
        const others = Object.entries(NOT_HERE).map(([name, limit]) => [name, { limit, used: 0, reserved: 0 }]);
        return { body: { quota: Object.fromEntries([...quota, ...others]) } };
      },
    });
  return [
    route({
      method: 'GET',
      path: '/v2.0/quotas',
      doc: 'Limits of the projects for which any was set.',
      access: { rule: 'get_quota', role: 'admin' },
      success: 200,
      async handle() {
        const quotas = [];
        for (const projectId of await projectsWithQuota(db.queries))
          quotas.push({
            project_id: projectId,
            tenant_id: projectId,
            ...quotaView(await networkQuota(db.queries, projectId)),
          });
        return { body: { quotas } };
      },
    }),
    route({
      method: 'GET',
      path: '/v2.0/quotas/:id',
      doc: 'Limits of a project; `project` is one’s own.',
      access: mayRead('get_quota'),
      success: 200,
      async handle(request) {
        const who = whoOf(request);
        const { id } = request.params;
        if (id === 'project' || id === 'tenant')
          return { body: { [id]: { project_id: who.projectId, tenant_id: who.projectId } } };
        return { body: { quota: quotaView(await networkQuota(db.queries, asked(request, who))) } };
      },
    }),
    route({
      method: 'GET',
      path: '/v2.0/quotas/:id/default',
      doc: 'Limits of a project for which none was set.',
      access: mayRead('get_quota'),
      success: 200,
      handle(request) {
        asked(request, whoOf(request));
        return { body: { quota: quotaView(DEFAULT_NETWORK_QUOTA) } };
      },
    }),
    details('/v2.0/quotas/:id/details'),
    details('/v2.0/quotas/:id/details.json'),
    route({
      method: 'PUT',
      path: '/v2.0/quotas/:id',
      doc: 'Sets limits of a project; -1 is none.',
      access: ADMIN,
      body: QuotaBody,
      success: 200,
      async handle(request) {
        const projectId = request.params.id ?? '';
        const wanted = request.body.quota as Readonly<Record<string, unknown>>;
        const limits = Object.fromEntries(
          NETWORK_RESOURCES.filter((name) => wanted[name] !== undefined).map((name) => [name, Number(wanted[name])]),
        );
        await write(deps, async (trx) => {
          await setNetworkQuota(trx, projectId, limits);
          return { result: null, networks: [] };
        });
        return { body: { quota: quotaView(await networkQuota(db.queries, projectId)) } };
      },
    }),
    route({
      method: 'DELETE',
      path: '/v2.0/quotas/:id',
      doc: 'Back to the defaults.',
      access: { rule: 'delete_quota', role: 'admin' },
      success: 204,
      async handle(request) {
        await write(deps, async (trx) => {
          await resetNetworkQuota(trx, request.params.id ?? '');
          return { result: null, networks: [] };
        });
        return {};
      },
    }),
  ];
}
