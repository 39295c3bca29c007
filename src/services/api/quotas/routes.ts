/** `/os-quota-sets`: limits of projects. What is used is counted when somebody asks. Source: Nova's API reference, "Quota sets". */
import { Type } from 'typebox';
import type { Queries } from '#db/database.ts';
import { resetComputeLimits, setComputeLimits } from '#db/repo/compute-quotas.ts';
import { findProject } from '#db/repo/identity/projects.ts';
import { countServerGroups } from '#db/repo/server-groups.ts';
import { usageOf } from '#db/repo/servers.ts';
import { COMPUTE_RESOURCES, type ComputeLimits, type ComputeResource } from '#domain/compute-quota.ts';
import { CloudError } from '#domain/errors.ts';
import { caller } from '#http/auth.ts';
import { type Route, route } from '#http/route.ts';
import type { ApiDeps } from '../api-deps.ts';
import { limitsOf, projectQuota } from './project-quota.ts';

const PATH = '/v2.1/os-quota-sets/:project';
const RULE = 'os_compute_api:os-quota-sets';
const closed = { additionalProperties: false };
const Limit = Type.Optional(
  Type.Union([
    Type.Integer({ minimum: -1, maximum: 2 ** 31 - 1 }),
    Type.String({ pattern: '^(-1|[0-9]{1,9})$', maxLength: 9 }),
  ]),
);
const QuotaBody = Type.Object(
  {
    quota_set: Type.Object(
      {
        ...Object.fromEntries(COMPUTE_RESOURCES.map((name) => [name, Limit])),
        force: Type.Optional(Type.Boolean()),
        // Clients repeat it from the address.
        tenant_id: Type.Optional(Type.String({ maxLength: 64 })),
      },
      closed,
    ),
  },
  closed,
);

/** What is here is not limited, and shown to clients of these versions all the same. */
const UNTIL_56 = { injected_files: 5, injected_file_content_bytes: 10_240, injected_file_path_bytes: 255 };
const UNTIL_35 = { fixed_ips: -1, floating_ips: -1, security_groups: -1, security_group_rules: -1 };

/** With those that a version shows besides. */
const shownLimits = (limits: ComputeLimits, version: number) => ({
  ...limits,
  ...(version <= 56 && UNTIL_56),
  ...(version <= 35 && UNTIL_35),
});

type Asked = Parameters<typeof caller>[0] & { readonly params: Readonly<Record<string, string>> };

export function quotaRoutes(deps: ApiDeps): Route[] {
  const { db } = deps;
  /** Throws 403 for another project's. */
  const readable = (request: Asked): string => {
    const { isAdmin, projectId } = caller(request);
    const id = request.params.project ?? '';
    if (id !== projectId && !isAdmin) throw new CloudError('policyForbids', { rule: `${RULE}:show` });
    return id;
  };
  const existing = async (request: Asked): Promise<string> => {
    const id = request.params.project ?? '';
    if (!(await findProject(db.queries, id)))
      throw new CloudError('badRequest', { reason: `Project ID ${id} is not a valid project.` });
    return id;
  };
  const limitsFor = async (queries: Queries, id: string) => limitsOf(await projectQuota(queries, deps.quota, id));
  return [
    route({
      method: 'GET',
      path: PATH,
      doc: 'Shows the limits of a project.',
      access: { rule: `${RULE}:show`, role: 'reader' },
      success: 200,
      handle: async (request) => {
        const id = readable(request);
        return { body: { quota_set: { id, ...shownLimits(await limitsFor(db.queries, id), request.version) } } };
      },
    }),
    route({
      method: 'GET',
      path: `${PATH}/defaults`,
      doc: 'Shows the limits of a project for which none was set.',
      access: { rule: `${RULE}:defaults`, role: 'any' },
      success: 200,
      handle: ({ params, version }) => ({
        body: { quota_set: { id: params.project, ...shownLimits(limitsOf(deps.quota), version) } },
      }),
    }),
    route({
      method: 'GET',
      path: `${PATH}/detail`,
      doc: 'Shows the limits of a project and what is used of them.',
      access: { rule: `${RULE}:detail`, role: 'reader' },
      success: 200,
      handle: async (request) => {
        const id = readable(request);
        const used: Partial<Record<string, number>> = await usedBy(db.queries, id);
        const shown = Object.entries(shownLimits(await limitsFor(db.queries, id), request.version)).map(
          ([name, limit]) => [name, { limit, in_use: used[name] ?? 0, reserved: 0 }],
        );
        return { body: { quota_set: { id, ...Object.fromEntries(shown) } } };
      },
    }),
    route({
      method: 'PUT',
      path: PATH,
      doc: 'Sets limits of a project; -1 is none. Less than what is used only with `force`.',
      access: { rule: `${RULE}:update`, role: 'admin' },
      body: QuotaBody,
      success: 200,
      handle: async (request) => {
        const id = await existing(request);
        const wanted = request.body.quota_set as Readonly<Record<string, unknown>>;
        const limits = Object.fromEntries(
          COMPUTE_RESOURCES.filter((name) => wanted[name] !== undefined).map((name) => [name, Number(wanted[name])]),
        );
        const after = await db.transaction(async (trx) => {
          if (wanted.force !== true) checkUsed(limits, await usedBy(trx, id));
          await setComputeLimits(trx, id, limits);
          return limitsFor(trx, id);
        });
        return { body: { quota_set: shownLimits(after, request.version) } };
      },
    }),
    route({
      method: 'DELETE',
      path: PATH,
      doc: 'Back to the limits of the cloud.',
      access: { rule: `${RULE}:delete`, role: 'admin' },
      success: 202,
      handle: async ({ params }) => {
        await db.transaction((trx) => resetComputeLimits(trx, params.project ?? ''));
        return {};
      },
    }),
    route({
      method: 'GET',
      path: '/v2.1/os-quota-class-sets/:class',
      doc: 'Shows the limits of the cloud, which its configuration says.',
      access: { rule: 'os_compute_api:os-quota-class-sets:show', role: 'admin' },
      success: 200,
      handle: ({ params, version }) => ({
        body: { quota_class_set: { id: params.class, ...shownLimits(limitsOf(deps.quota), version) } },
      }),
    }),
  ];
}

type Used = Partial<Record<ComputeResource, number>>;

/** Of what is counted by project. */
async function usedBy(db: Queries, projectId: string): Promise<Used> {
  const { instances, vcpus, memoryMib } = await usageOf(db, projectId);
  return { instances, cores: vcpus, ram: memoryMib, server_groups: await countServerGroups(db, projectId) };
}

function checkUsed(limits: Partial<ComputeLimits>, used: Used): void {
  for (const name of COMPUTE_RESOURCES) {
    const [limit = -1, has = 0] = [limits[name], used[name]];
    if (limit >= 0 && limit < has) {
      const reason = `Quota limit ${limit} for ${name} must be greater than or equal to already used and reserved ${has}.`;
      throw new CloudError('badRequest', { reason });
    }
  }
}
